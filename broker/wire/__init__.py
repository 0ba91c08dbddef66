"""The client protocol as bytes: parsing, encoding, headers, error texts. Pure; imports nothing of ours."""
