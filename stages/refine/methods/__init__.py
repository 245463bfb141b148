"""The refinement methods: name -> module with `Options` and `refine(coarse map, options) -> full-size labels, foreground`.

The foreground is how sure each pixel is not to be label 0, of 255. `PIXELS` says whether a method reads the image.
"""

from usseg.stages.refine.methods import bilateral_solver, crf, guided_filter, none

METHODS = {"none": none, "guided_filter": guided_filter, "bilateral_solver": bilateral_solver, "crf": crf}
