"""A trained detector as a file that other runtimes read: ONNX, and what comes of it."""
