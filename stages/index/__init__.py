"""Image lists -> ids, sizes, paths, checksums.

In: the folders and globs of `index.splits`. Out: one row an image, sorted by id. Every file is decoded once here, so
that a bad one is found before hours of work, and every file that is not taken is accounted for.
"""
