"""FORMAT: the part of every cache key that stands for the code of `pipeline`."""

# Raise FORMAT when an edit of `pipeline` changes what a stage reads or writes for equal params and inputs. Examples:
# the decoding of images, labels or strings; the chunks of arrays; the attributes of an artifact. The next run then
# makes every artifact anew. Do not raise FORMAT when no byte changes, for example when a message is edited.
# tests/end_to_end/test_format.py fails when a needed raise is missing.
FORMAT = 3
