"""From a checkpoint of a host to one of the methods, for `tools/model/convert.py`."""
