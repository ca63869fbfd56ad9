"""What messages hold: one file a family, built from the blocks of `weapon` and `blocks`."""
