"""Scaling laws, one file per law: what each says, of which parameters, where it was fitted, and who printed it."""
