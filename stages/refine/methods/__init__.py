"""The refinement methods: name -> function (labels on the grid, image size, extent, upsampling) -> full-size labels."""

from stages.refine.methods import none

METHODS = {"none": none.refine}
