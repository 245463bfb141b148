"""Image lists -> ids, sizes, paths, checksums.

In: the folders and globs of `index.splits`. Out: one row for each image, sorted by id. Every file is decoded
once in this stage, so that a damaged file is found before hours of work. The log accounts for every file that is not
taken.
"""
