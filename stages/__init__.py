"""The stages, in the order of the pipeline: the one list of them."""

from usseg.pipeline.stage import Stage
from usseg.stages.assign.stage import STAGE as ASSIGN
from usseg.stages.cluster.stage import STAGE as CLUSTER
from usseg.stages.crops.stage import STAGE as CROPS
from usseg.stages.eigen.stage import STAGE as EIGEN
from usseg.stages.evaluate.stage import STAGE as EVALUATE
from usseg.stages.features.stage import STAGE as FEATURES
from usseg.stages.index.stage import STAGE as INDEX
from usseg.stages.refine.stage import STAGE as REFINE
from usseg.stages.report.stage import STAGE as REPORT
from usseg.stages.segmenter.stage import STAGE as SEGMENTER
from usseg.stages.segments.stage import STAGE as SEGMENTS

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (INDEX, FEATURES, EIGEN, SEGMENTER, SEGMENTS, CROPS, CLUSTER, ASSIGN, REFINE, EVALUATE, REPORT)
}
