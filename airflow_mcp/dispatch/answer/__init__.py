"""Records in the server's vocabulary, made safe and cut to size."""
