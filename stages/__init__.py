"""The stages, in the order of the pipeline: the one list of them."""

from pipeline.stage import Stage
from stages.assign.stage import STAGE as ASSIGN
from stages.cluster.stage import STAGE as CLUSTER
from stages.crops.stage import STAGE as CROPS
from stages.eigen.stage import STAGE as EIGEN
from stages.evaluate.stage import STAGE as EVALUATE
from stages.features.stage import STAGE as FEATURES
from stages.index.stage import STAGE as INDEX
from stages.model.stage import STAGE as MODEL
from stages.refine.stage import STAGE as REFINE
from stages.report.stage import STAGE as REPORT
from stages.segments.stage import STAGE as SEGMENTS

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (INDEX, FEATURES, EIGEN, MODEL, SEGMENTS, CROPS, CLUSTER, ASSIGN, REFINE, EVALUATE, REPORT)
}
