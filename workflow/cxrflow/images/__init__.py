"""Image files: which there are, how they are decoded, and their decoded pixels."""

# A data set's folder holds one folder of class folders for training and one for the test.
SUBSET_FOLDERS = ("train", "test")
