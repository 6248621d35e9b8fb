"""The subcommands of `memory-survival`, one file each."""
