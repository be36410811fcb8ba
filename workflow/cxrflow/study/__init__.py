"""The typed study and run: which keys a config may have, how it is read, and how its errors are reported."""
