"""Baselines: losses by hand, steps against plain gradients, resumption bit for bit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nsn_jax import baselines
from nsn_jax.baselines import networks
from nsn_jax.baselines import training as training_lib

KEY = jax.random.key(0)
SHAPE = (8, 8, 2)  # 4 -> 8: one doubling, the smallest there is.


_OPTIONS = {"vae": {"hidden": 6, "latent": 3}, "pixelcnn": {"width": 3, "num_layers": 2}}


def _shape(name: str) -> tuple[int, int, int]:
  return (6, 5, 1) if name == "pixelcnn" else SHAPE


def _small(name: str, **changes: object) -> baselines.Baseline:
  options = _OPTIONS.get(name, {"width": 2, "latent": 3})
  return baselines.make(name, _shape(name), **{"batch_size": 5, **options, **changes})


@pytest.fixture(scope="module")
def images() -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (23, *SHAPE)).astype(np.uint8)


def _same(left: object, right: object) -> bool:
  equal = jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), left, right)
  return all(jax.tree.leaves(equal))


# networks


@pytest.mark.parametrize("side", [10, 9])
def test_doubling_equals_xlas_transposed_convolution(side):
  layer = networks.Doubling(3, side)
  x = jax.random.normal(KEY, (2, 5, 5, 6))
  params = layer.init(KEY, x)
  kernel = params["params"]["kernel"].transpose(1, 2, 0, 3)  # [4, 4, in, out]
  expected = jax.lax.conv_transpose(
    x, kernel[::-1, ::-1], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
  found = layer.apply(params, x)
  assert found.shape == (2, side, side, 3)
  # float32 sums of 24 products of either order.
  np.testing.assert_allclose(found, expected[:, :side, :side], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
  ("side", "expected"),
  [(28, (28, 14, 7, 4)), (64, (64, 32, 16, 8, 4)), (8, (8, 4)), (27, (27, 14, 7, 4)), (5, (5, 3))],
)
def test_sides_of_the_maps(side, expected):
  assert networks.map_sides((side, side, 1)) == expected
  noise, images = jnp.zeros((2, 5)), jnp.zeros((2, side, side, 1))
  generator, critic = (net((side, side, 1), 2) for net in (networks.Generator, networks.Critic))
  made, _ = jax.eval_shape(lambda: generator.init_with_output(KEY, noise, is_training=True))
  scores, variables = jax.eval_shape(lambda: critic.init_with_output(KEY, images))
  assert made.shape == images.shape and scores.shape == (2,)
  # The critic's dense layer sees the whole smallest map.
  channels = 2 << (len(expected) - 2)
  assert variables["params"]["Dense_0"]["kernel"].shape == (channels * expected[-1] ** 2, 1)


@pytest.mark.parametrize("shape", [(28, 32, 1), (4, 4, 1), (2, 2, 1)])
def test_images_that_no_doublings_make(shape):
  with pytest.raises(ValueError, match=f"image_shape: .*got {shape[0]} x {shape[1]}"):
    networks.map_sides(shape)


def test_parameters_counted_by_hand():
  model = baselines.make("dcgan", (28, 28, 1), width=64)
  state = jax.eval_shape(model.init, KEY)
  # Dense to 4 x 4 x 256, doublings to 128 and 64 channels, one to 1 with a bias; scale and shift of
  # each normalisation.
  generator = 100 * 16 * 256 + 2 * 256 + 16 * 256 * 128 + 2 * 128
  generator += 16 * 128 * 64 + 2 * 64 + 16 * 64 + 1
  assert baselines.num_parameters(model.generating(state)) == generator
  critic = 16 * 64 + 64 + 16 * 64 * 128 + 2 * 128 + 16 * 128 * 256 + 2 * 256 + 16 * 256 + 1
  assert baselines.num_parameters(state.critic) == critic
  vae = baselines.make("vae", (28, 28, 1))
  decoder = 21 * 500 + 501 * 500 + 501 * 784
  assert baselines.num_parameters(vae.generating(jax.eval_shape(vae.init, KEY))) == decoder


# losses


def test_dcgan_losses_by_hand():
  model = _small("dcgan")
  real, fake = jnp.array([0.0, np.log(3.0)]), jnp.array([0.0, -np.log(3.0)])
  # Probabilities of the truth: 1/2 and 3/4 of both.
  expected = 2 * -np.log([1 / 2, 3 / 4]).mean()
  assert float(model.critic_loss(real, fake, None, None)) == pytest.approx(expected, rel=1e-6)
  # Taken for real: 1/2 and 1/4.
  expected = -np.log([1 / 2, 1 / 4]).mean()
  assert float(model.generator_loss(fake)) == pytest.approx(expected, rel=1e-6)


def test_wgan_losses_by_hand():
  model = _small("wgan")
  real, fake = jnp.array([1.0, 3.0]), jnp.array([0.0, 5.0])
  assert float(model.critic_loss(real, fake, None, None)) == pytest.approx(0.5)
  assert float(model.generator_loss(fake)) == pytest.approx(-2.5)


def test_ls_gan_losses_by_hand():
  model = _small("lsgan", margin=2.0)
  real_images = jnp.zeros((3, *SHAPE))
  fake_images = jnp.stack([jnp.full(SHAPE, value) for value in (0.5, -1.0, 0.0)])
  # Margins 1, 2, 0; losses below 0 count as 0.
  real, fake = jnp.array([0.5, -1.0, 3.0]), jnp.array([2.0, 0.5, 1.0])
  expected = np.mean([max(0, 1 + 0.5 - 2), max(0, 2 + 0 - 0.5), max(0, 0 + 3 - 1)])
  found = float(model.critic_loss(real, fake, real_images, fake_images))
  assert found == pytest.approx(expected)
  assert float(model.generator_loss(jnp.array([2.0, -4.0]))) == pytest.approx(1.0)


def test_ls_gan_margin_is_its_authors_at_his_size():
  # 2e-4 times the sum over 64 x 64 x 3 values.
  model = baselines.make("lsgan", (64, 64, 3))
  distance = 0.3
  zero = jnp.zeros((1, 64, 64, 3))
  found = model.critic_loss(jnp.zeros(1), jnp.zeros(1), zero, zero + distance)
  assert float(found) == pytest.approx(2e-4 * 64 * 64 * 3 * distance, rel=1e-5)


def test_vae_loss_of_a_network_of_zeros_by_hand():
  model = _small("vae")
  state = jax.tree.map(jnp.zeros_like, model.init(KEY))
  images = jax.random.uniform(KEY, (4, *SHAPE), minval=-1.0)
  reconstruction, divergence = model.negative_elbo(KEY, state.encoder, state.decoder, images)
  # Every pixel has probability 1/2, and the posterior is the prior.
  assert float(reconstruction) == pytest.approx(np.prod(SHAPE) * np.log(2), rel=1e-6)
  assert float(divergence) == 0


def test_vae_divergence_equals_numpys():
  model = _small("vae")
  state = model.init(KEY)
  images = jax.random.uniform(KEY, (4, *SHAPE), minval=-1.0)
  _, found = model.negative_elbo(KEY, state.encoder, state.decoder, images)
  codes = np.asarray(
    model._encoder.apply(state.encoder, (images.reshape(4, -1) + 1) / 2), np.float64
  )
  mean, variance = codes[:, :3], np.exp(codes[:, 3:])
  expected = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(axis=1).mean()
  assert float(found) == pytest.approx(expected, rel=1e-5)


# steps


@pytest.mark.parametrize("name", ["dcgan", "wgan", "lsgan"])
def test_a_step_equals_plain_gradients(name, images):
  model = _small(name, **({"head_start": 0, "critic_steps": 1} if name == "wgan" else {}))
  state = model.init(KEY)
  batch = jnp.asarray(images[:5], jnp.float32) / 127.5 - 1
  found, metrics = jax.jit(model.step)(KEY, state, batch)
  noise = model.noise(KEY, 5)

  def make(generator):
    return model._generate(generator, state.moments, noise)

  def critic_loss(critic):
    fake = jax.lax.stop_gradient(make(state.generator)[0])
    return model.critic_loss(model._scores(critic, batch), model._scores(critic, fake), batch, fake)

  loss, gradient = jax.value_and_grad(critic_loss)(state.critic)
  updates, _ = model.optimizer().update(gradient, state.critic_optimizer)
  critic = model.constrain(optax.apply_updates(state.critic, updates))

  def generator_loss(generator):
    return model.generator_loss(model._scores(critic, make(generator)[0]))

  other_loss, gradient = jax.value_and_grad(generator_loss)(state.generator)
  updates, _ = model.optimizer().update(gradient, state.generator_optimizer)
  generator = optax.apply_updates(state.generator, updates)
  assert float(metrics["critic_loss"]) == pytest.approx(float(loss), rel=1e-4, abs=1e-6)
  assert float(metrics["generator_loss"]) == pytest.approx(float(other_loss), rel=1e-3, abs=1e-6)
  # Adam's first step is the gradient's sign: where that is rounding, a weight may go either way by
  # the rate. All others agree.
  for one, other in ((found.critic, critic), (found.generator, generator)):
    close = jax.tree.map(lambda a, b: np.isclose(a, b, rtol=1e-3, atol=1e-6).ravel(), one, other)
    assert np.concatenate(jax.tree.leaves(close)).mean() > 0.97
  # Of the generator's running moments a tenth is the batch's.
  expected = make(state.generator)[1]
  for one, other in zip(*map(jax.tree.leaves, (found.moments, expected)), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
  assert int(found.step) == 1


def test_wgan_clips_and_waits(images):
  model = _small("wgan", head_start=4, critic_steps=3, clip=0.05)
  step = jax.jit(model.step)
  state = model.init(KEY)
  batch = jnp.asarray(images[:5], jnp.float32) / 127.5 - 1
  trained = []
  for index in range(10):
    after, _ = step(jax.random.fold_in(KEY, index), state, batch)
    largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(after.critic))
    assert largest <= np.float32(0.05)
    assert not _same(after.critic, state.critic)
    if not _same(after.generator, state.generator):
      trained.append(index)
    assert not _same(after.moments, state.moments)  # They run along where the generator waits.
    state = after
  # Every third step, once four are past.
  assert trained == [5, 8]


def test_rmsprop_of_small_gradients_by_hand():
  # Of one gradient g: rate * g / (sqrt(0.01 g^2) + 1e-8), as Torch has it, here nearly 10 rates.
  optimizer = _small("wgan", learning_rate=5e-5).optimizer()
  gradient = jnp.array([1e-6, -1e-3])
  update, _ = optimizer.update(gradient, optimizer.init(jnp.zeros(2)))
  np.testing.assert_allclose(update, [-5e-5 / 0.11, 5e-5 / 0.10001], rtol=1e-5)


def test_generating_does_not_depend_on_the_others_drawn(images):
  model = _small("dcgan")
  state, step = model.init(KEY), jax.jit(model.step)
  batch = jnp.asarray(images[:5], jnp.float32) / 127.5 - 1
  for index in range(3):  # So that the running moments are not the first ones.
    state, _ = step(jax.random.fold_in(KEY, index), state, batch)
  variables = {"params": state.generator, "batch_stats": state.moments}
  whole = model.generate(KEY, state, 6)
  for index, noise in enumerate(model.noise(KEY, 6)):
    alone = model._generator.apply(variables, noise[None], is_training=False)
    # The running moments normalise, not the batch's; products of other sizes round otherwise.
    np.testing.assert_allclose(whole[index], alone[0], atol=1e-5)
  assert not np.allclose(whole, model.generate(KEY, model.init(KEY), 6), atol=1e-3)


# PixelCNN


@pytest.fixture(scope="module")
def pixelcnn() -> tuple[baselines.PixelCNN, object]:
  """A small one of all dilations whose biases are no zeros."""
  model = _small("pixelcnn", num_layers=4, width=4)
  noise = jax.random.normal(KEY, (50,))
  params = jax.tree.map(
    lambda x: x + 0.3 * noise[: x.size] if x.ndim == 1 and x.size <= 50 else x,
    model.init(KEY).params,
  )
  return model, params


def test_pixels_depend_on_those_before_them_alone(pixelcnn):
  model, params = pixelcnn
  images = jax.random.uniform(KEY, (1, 6, 5, 1), minval=-1.0)
  weights = jax.random.normal(KEY, (256,))

  def one(images, y, x):
    return (model.logits(params, images)[0, y, x] * weights).sum()

  slope = jax.jit(jax.grad(one))
  for y, x in ((0, 0), (0, 3), (2, 0), (3, 2), (5, 4)):
    found = np.asarray(slope(images, y, x))[0, :, :, 0]
    before = np.arange(30).reshape(6, 5) < y * 5 + x
    # No blind spot within the eleven pixels that these windows reach.
    assert (found[~before] == 0).all() and (found[before] != 0).all()


def test_dilated_windows_reach_far():
  model = _small("pixelcnn", num_layers=4, width=4)
  params = model.init(KEY).params
  images = jax.random.uniform(KEY, (1, 13, 5, 1), minval=-1.0)
  slope = jax.grad(lambda x: (model.logits(params, x)[0, 12, 2] ** 2).sum())(images)[0, :, :, 0]
  # Up: 4 of the first window, which ends above the pixel, then 1, 2 and 4 of the 3 x 3 ones.
  assert (slope[0] == 0).all() and (slope[1] != 0).any() and (slope[2:12] != 0).all()


def test_a_drawn_pixel_has_the_density_of_the_whole_pass(pixelcnn):
  model, params = pixelcnn
  state = baselines.PixelCNNState(params, None)
  drawn = jax.jit(model.generate, static_argnums=2)(KEY, state, 3)
  logits = model.logits(params, drawn)
  for y in range(6):
    for x in range(5):
      key = jax.random.fold_in(jax.random.fold_in(KEY, y), x)
      # The same noise on the same logits: the same pixel, but for a tie within rounding.
      values = jax.random.categorical(key, logits[:, y, x])
      expected = np.asarray(values) / 127.5 - 1
      np.testing.assert_allclose(drawn[:, y, x, 0], expected, atol=1e-6)
  assert len(np.unique(drawn)) > 30


def test_densities_sum_to_one(pixelcnn):
  model, params = pixelcnn
  rest = jnp.zeros((1, 6, 5, 1))
  first, second = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
  # All values of the last two pixels, by the chain rule: the logits of the last depend on the one
  # before it.
  images = jnp.tile(rest, (256, 1, 1, 1)).at[:, 5, 3, 0].set(np.arange(256) / 127.5 - 1)
  logits = jax.nn.log_softmax(model.logits(params, images))
  # Each image's own value: a pixel that saw itself would not sum to 1.
  values = np.arange(256)
  own = np.asarray(logits[values, 5, 3, values])
  joint = np.exp(own[first] + np.asarray(logits[:, 5, 4])[first, second])
  assert joint.sum() == pytest.approx(1, abs=1e-5)
  assert np.abs(np.diff(logits[:, 5, 4], axis=0)).max() > 1e-4


def test_bits_by_hand():
  model = _small("pixelcnn")
  params = jax.tree.map(jnp.zeros_like, model.init(KEY).params)
  images = jax.random.uniform(KEY, (2, 6, 5, 1), minval=-1.0)
  np.testing.assert_allclose(model.bits(params, images), 8, rtol=1e-6)  # 256 values, all alike
  # One logit of log 255 makes its value's probability 1/2.
  layers, head = params
  head = head._replace(logits_bias=jnp.zeros(256).at[255].set(np.log(255.0)))
  np.testing.assert_allclose(model.bits((layers, head), jnp.ones((1, 6, 5, 1))), 1, rtol=1e-6)
  found = model.bits((layers, head), -jnp.ones((1, 6, 5, 1)))
  np.testing.assert_allclose(found, 1 + np.log2(255), rtol=1e-6)


def test_colour_is_refused():
  with pytest.raises(ValueError, match=r"image_shape: expected grey images, \[H, W, 1\], got"):
    baselines.make("pixelcnn", (8, 8, 3))


# the loop


@pytest.mark.parametrize("name", sorted(baselines.MODELS))
def test_training_goes_on_as_if_it_had_never_stopped(name, images):
  model = _small(name, **({"head_start": 0, "critic_steps": 2} if name == "wgan" else {}))
  height, width, channels = _shape(name)
  images = images[:, :height, :width, :channels]
  kept = []

  def on_epoch(epoch, state):
    # A copy: the next step takes the state's memory.
    kept.append((epoch, jax.tree.map(np.array, state)))

  whole = baselines.train(KEY, model, images, num_epochs=3, on_epoch=on_epoch)
  assert [epoch.epoch for epoch, _ in kept] == [0, 1, 2]
  state = jax.tree.map(jnp.asarray, kept[0][1])
  again = baselines.train(KEY, model, images, num_epochs=3, state=state, first_epoch=1)
  assert _same(whole, again)
  assert _same(state, kept[0][1])  # The caller's state is the caller's still.
  other = baselines.train(jax.random.key(1), model, images, num_epochs=3)
  assert not _same(whole, other)


def test_the_vae_learns(images):
  rng = np.random.default_rng(0)
  # Two kinds of images, so that there is something to code.
  pattern = rng.integers(0, 2, (2, *SHAPE)) * 255
  data = pattern[rng.integers(0, 2, 200)].astype(np.uint8)
  losses = []
  baselines.train(
    KEY,
    _small("vae", hidden=32, learning_rate=5e-3),
    data,
    num_epochs=15,
    on_epoch=lambda epoch, _: losses.append(sum(epoch.metrics.values())),
  )
  # An untrained one needs 128 log 2 = 89; two kinds of images need log 2, and what is not yet sure.
  assert losses[-1] < 8 < 20 < losses[0] < 89
  assert np.mean(losses[-3:]) < np.mean(losses[4:7]) < losses[0]


def test_epochs_compile_once(images, num_compiled):
  model = _small("dcgan", width=3)
  baselines.train(KEY, model, images, num_epochs=1)
  after = num_compiled()
  baselines.train(jax.random.key(5), model, images, num_epochs=2)
  assert num_compiled() == after


def test_reports_cover_each_epoch(images, monkeypatch):
  monkeypatch.setattr(training_lib, "_REPORT_STEPS", 3)
  seen: list[baselines.Progress] = []
  baselines.train(KEY, _small("vae"), images, num_epochs=2, report=seen.append)
  # Four whole batches of 5 in 23 images.
  assert [(at.epoch, at.step, at.num_steps) for at in seen] == [
    (0, 3, 4),
    (0, 4, 4),
    (1, 3, 4),
    (1, 4, 4),
  ]
  assert seen[0].metrics.keys() == {"reconstruction", "divergence"}


def test_divergence_is_an_error(images):
  model = _small("vae", learning_rate=1e30)
  with pytest.raises(baselines.DivergedError, match="diverged in epoch 1, before step 4 of 4: "):
    baselines.train(KEY, model, images, num_epochs=1)


@dataclasses.dataclass(frozen=True)
class _Constant:
  """Samples that are all alike, or noise."""

  image_shape: tuple[int, int, int] = SHAPE
  batch_size: int = 5
  spread: float = 0.0

  def init(self, key):
    return jnp.zeros(1)

  def step(self, key, state, images):
    return state, {"loss": jnp.float32(0)}

  def generate(self, key, state, num_samples):
    return self.spread * jax.random.uniform(key, (num_samples, *SHAPE), minval=-1.0)

  def generating(self, state):
    return state


@pytest.mark.parametrize(("spread", "collapsed"), [(0.0, True), (0.05, True), (1.0, False)])
def test_collapse_is_told(images, spread, collapsed):
  seen = []
  baselines.train(
    KEY, _Constant(spread=spread), images, num_epochs=1, on_epoch=lambda e, _: seen.append(e)
  )
  assert seen[0].collapsed == collapsed
  # Uniform noise beside uniform noise; 8 bits and the mean of 12 images are the rest.
  assert seen[0].diversity == pytest.approx(spread, abs=0.1)


def test_training_errors(images):
  model = _small("dcgan")
  with pytest.raises(ValueError, match=r"images: expected uint8 \[N, 8, 8, 2\], got uint8 \(23, 8"):
    baselines.train(KEY, model, images[:, :, :, :1], num_epochs=1)
  with pytest.raises(ValueError, match="got float32"):
    baselines.train(KEY, model, images / np.float32(255), num_epochs=1)
  with pytest.raises(ValueError, match="images: expected at least one batch of 5, got 4"):
    baselines.train(KEY, model, images[:4], num_epochs=1)
  with pytest.raises(ValueError, match="num_epochs"):
    baselines.train(KEY, model, images, num_epochs=0)
  with pytest.raises(ValueError, match="first_epoch: expected 0 where no state is given, got 5"):
    baselines.train(KEY, model, images, num_epochs=6, first_epoch=5)
  for name in baselines.MODELS:
    for shape in ((28, 28), (0, 28, 1), [28, 28, 1], (28.0, 28.0, 1)):
      with pytest.raises(ValueError, match=r"image_shape: expected a tuple \(H, W, C\)"):
        baselines.make(name, shape)
  with pytest.raises(ValueError, match=r"model: expected one of dcgan, .*pixelcnn, got 'gan'"):
    baselines.make("gan", SHAPE)
  for name, field, value in (
    ("dcgan", "width", 0),
    ("wgan", "clip", 0.0),
    ("lsgan", "margin", -1.0),
    ("vae", "latent", 0),
    ("dcgan", "learning_rate", float("nan")),
    ("wgan", "critic_steps", 0),
  ):
    with pytest.raises(ValueError, match=f"{field}: expected"):
      baselines.make(name, SHAPE, **{field: value})


# samples and checkpoints


def test_samples(images):
  model = _small("dcgan")
  state = model.init(KEY)
  first = baselines.sample(KEY, model, state, 7, batch_size=3)
  assert first.shape == (7, *SHAPE) and first.dtype == np.uint8
  np.testing.assert_array_equal(first, baselines.sample(KEY, model, state, 7, batch_size=3))
  assert (first[:3] != first[3:6]).any()
  assert (first != baselines.sample(jax.random.key(1), model, state, 7, batch_size=3)).any()
  with pytest.raises(ValueError, match="num_samples: expected an integer of at least 1, got 0"):
    baselines.sample(KEY, model, state, 0)


def test_pixel_values_are_rounded_to_the_nearest():
  @dataclasses.dataclass(frozen=True)
  class Ramp(_Constant):
    def generate(self, key, state, num_samples):
      return jnp.array([-1.5, -1.0, -0.001, 0.0, 0.999, 1.0, 7.0]).reshape(1, 7, 1, 1)

  found = baselines.sample(KEY, Ramp(), None, 1).ravel().tolist()
  assert found == [0, 0, 127, 128, 255, 255, 255]


def test_checkpoints_keep_the_last_two(tmp_path, images):
  model = _small("dcgan")
  states = [model.init(jax.random.key(index)) for index in range(3)]
  with baselines.Checkpoints(tmp_path / "c") as kept:
    assert kept.last_epoch is None
    with pytest.raises(ValueError, match="checkpoints: expected at least one"):
      kept.restore(states[0])
    for epoch, state in enumerate(states):
      kept.save(epoch, state)
  with baselines.Checkpoints(tmp_path / "c") as kept:
    assert kept.last_epoch == 2
    assert _same(kept.restore(states[0]), states[2])
    for epoch in (1, 2):
      with pytest.raises(ValueError, match=f"epoch: expected one after 2, .* got {epoch}"):
        kept.save(epoch, states[0])
    with pytest.raises(ValueError, match="checkpoints: expected one of this model, got another"):
      kept.restore(_small("dcgan", width=3).init(KEY))
  assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["1", "2"]
