"""Sending results to DICOM nodes: which nodes there are, what may go, and the outbox that loses nothing."""
