# The public names, for type checkers and for `lazy_loader`, which imports each from where it is.

from . import callbacks
from .evaluation.report import evaluate
from .feature_grid import FeatureGrid
from .inference.load import inference_model, load
from .inference.model import InferenceModel
from .layers.base import DistributionLayer
from .layers.corruption import (
    GaussianCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
)
from .layers.discretized_logistic import (
    IndependentDiscretizedLogistic,
    IndependentDiscretizedLogisticPerPixel,
)
from .layers.flow_posterior import FlowPosterior
from .layers.input_noise import InputNoise
from .layers.kl import KLDivergenceRegularizer
from .layers.likelihoods import (
    IndependentBernoulli,
    IndependentContinuousBernoulli,
    IndependentNormalSharedScale,
)
from .layers.posteriors import (
    Deterministic,
    IndependentNormal,
    IndependentNormalFixedScale,
    MultivariateNormalTriL,
)
from .layers.sparse import KSparseCode, SigmoidCode, SparsityRegularizer
from .models.build import build_vae
from .models.code_prior import CodePriorModel
from .models.hierarchical import HierarchicalVAE
from .models.quantized import QuantizedVAE
from .models.vae import VAE, negative_log_likelihood
from .networks.dropout import CountedDropout
from .priors.base import Prior
from .priors.fixed import FixedPrior
from .priors.flow import FlowPrior
from .priors.mixture import MixturePrior
from .priors.standard_normal import StandardNormal
from .priors.vamp import VampPrior
from .saved_model.export import export

__version__: str

__all__ = [
    "VAE",
    "CodePriorModel",
    "CountedDropout",
    "Deterministic",
    "DistributionLayer",
    "FeatureGrid",
    "FixedPrior",
    "FlowPosterior",
    "FlowPrior",
    "GaussianCorruption",
    "HierarchicalVAE",
    "IndependentBernoulli",
    "IndependentContinuousBernoulli",
    "IndependentDiscretizedLogistic",
    "IndependentDiscretizedLogisticPerPixel",
    "IndependentNormal",
    "IndependentNormalFixedScale",
    "IndependentNormalSharedScale",
    "InferenceModel",
    "InputNoise",
    "KLDivergenceRegularizer",
    "KSparseCode",
    "MaskingCorruption",
    "MixturePrior",
    "MultivariateNormalTriL",
    "Prior",
    "QuantizedVAE",
    "SaltAndPepperCorruption",
    "SigmoidCode",
    "SparsityRegularizer",
    "StandardNormal",
    "VampPrior",
    "build_vae",
    "callbacks",
    "evaluate",
    "export",
    "inference_model",
    "load",
    "negative_log_likelihood",
]
