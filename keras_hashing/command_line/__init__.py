"""What the command lines of `training` and `export` share."""
