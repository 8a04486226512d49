"""Runs as pages that a marketer can read: one HTML file with pictures, tables and examples, and nothing to fetch."""
