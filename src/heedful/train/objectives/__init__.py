"""What the supervised loop can minimise: one file per objective."""
