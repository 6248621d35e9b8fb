"""The one exception of the panel: its text is shown to the user as it stands."""


class UserError(Exception):
    """Something the user can put right, said in one sentence."""
