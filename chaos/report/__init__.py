"""What a person looks at after a run: one HTML page with plots (`page`), drawn by `plots`."""
