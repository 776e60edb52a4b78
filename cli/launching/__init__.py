"""What existing engines need to run a program: one file per engine."""
