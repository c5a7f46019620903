"""What the report of a run and that of a comparison share: queries with their nearest, drawing."""
