"""Images: finding, indexing and decoding image files, and storing their pixels."""
