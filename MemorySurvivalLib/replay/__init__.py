"""Replaying a result: the same run again from its result.json, and what differs, with the likely causes."""
