r"""Normal Similarity Networks (Nandy, Hsu & Lee, arXiv:1805.05269), stateless and functional.

An NSN is a stack of L layers of Gaussian filters over image patches, learned by hard EM, one layer
after the other, without back-propagation. How many filters a layer has is found by the training.
Run backwards, from noise at the top to pixels, the same network draws new images.

```python
nsn = nsn_jax.fit(jax.random.key(0), images, nsn_jax.presets.get("mnist"))
samples = nsn_jax.sample(jax.random.key(1), nsn, 64)
```

# Symbols

The paper's, as docstrings use them; l = 0 is the layer nearest the pixels.

| symbol | what it is | where |
|---|---|---|
| x | a patch, [kh, kw, C], of D = kh kw C values | `extract_patches` |
| mu_j, v_j = sigma_j^2 | mean and variance of filter j, of the K of its layer | `Filters` |
| s_j(x) | similarity of patch and filter, Eq 1 | `similarity` |
| h_j = sigmoid(s_j) | a layer's output, one channel a filter | `feature_map`, `encode` |
| tau | threshold: a patch whose best similarity is below it asks for a new filter | `LayerConfig` |
| z | noise at the top, N(0, I), where sampling starts | `sample` |
| gamma, T, alpha, beta | the sampler: range, draws, pixel noise, contrast | `SamplerConfig` |
| p, w | odds of the filters at a position, and their weights | `sample` |

# Equations

1. s_j(x) = -||x - mu_j||^2 / (2 v_j) - log(v_j) / 2
2. mu_j = mean of the patches X_j that are assigned to filter j (`m_step`)
3. v_j = mean of ||x - mu_j||^2 over X_j: of the *whole* squared distance, summed over D
4. w = Multinomial(T, p) / T with p = softmax(gamma h)
5. s_j = mu_j + alpha sqrt(v_j / D) eps_j with eps_j ~ N(0, I); a patch is beta sum_j w_j s_j, and
   patches are stitched by averaging (`decode`)

The paper's available text lost most formulas. Eq 1 follows the authors' later publication of the
same layer: up to a constant of D it is 1/D times the log-density of N(mu_j, (v_j / D) I), so its
argmax is the maximum-likelihood filter, and EM on it is classification EM of an isotropic Gaussian
mixture. The symbols of the sampler are ours, and so is how growth seeds new filters.

# Modules

Public: this one, `nsn_jax.presets` (also as `configs`), `nsn_jax.applications`, `nsn_jax.density`,
and, each with an extra to install, `nsn_jax.data`, `nsn_jax.metrics` (with
`nsn_jax.metrics.evaluation`), `nsn_jax.baselines`, `nsn_jax.preferred` and `nsn_jax.from_factors`.
Of every other module, what stands in its `__all__` is for this package alone and may change without
notice.
"""

from nsn_jax import configs, presets
from nsn_jax.config import LayerConfig, NetworkConfig, SamplerConfig
from nsn_jax.contrast import find_contrast
from nsn_jax.em import Statistics, e_step, m_step
from nsn_jax.filters import Filters, feature_map, similarity
from nsn_jax.network import NSN, encode
from nsn_jax.origin import Origin, StateError
from nsn_jax.patches import extract_patches, stitch_patches
from nsn_jax.placement import local_rows
from nsn_jax.progress import LayerState, Progress, Record, TrainingState
from nsn_jax.sampler import decode, sample
from nsn_jax.serialization import load, save
from nsn_jax.state_writer import StateWriter
from nsn_jax.training import fit, fit_layer
from nsn_jax.training_state import load_state, save_state
from nsn_jax.whitening import Whitening, fit_whitening, unwhiten, whiten

__version__ = "0.1.0"

__all__ = [
  "NSN",
  "Filters",
  "LayerConfig",
  "LayerState",
  "NetworkConfig",
  "Origin",
  "Progress",
  "Record",
  "SamplerConfig",
  "StateError",
  "StateWriter",
  "Statistics",
  "TrainingState",
  "Whitening",
  "configs",
  "decode",
  "e_step",
  "encode",
  "extract_patches",
  "feature_map",
  "find_contrast",
  "fit",
  "fit_layer",
  "fit_whitening",
  "load",
  "load_state",
  "local_rows",
  "m_step",
  "presets",
  "sample",
  "save",
  "save_state",
  "similarity",
  "stitch_patches",
  "unwhiten",
  "whiten",
]
