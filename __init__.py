"""Unlabelled images to semantic segmentations: a staged, cached, resumable pipeline."""
