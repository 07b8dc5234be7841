"""What the launchers' command lines share: flags, their parsing, and errors of one line.

Flags are defined by functions that a launcher calls when it is the main program, so that it can be
imported from a notebook or a test. A `~` that a flag's value begins with is a home folder.
"""

import contextlib
import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from absl import app, flags, logging

import nsn_jax
from experiments.common import devices, native_messages, runs, signals, workdir
from nsn_jax import config, data, processes

__all__ = [
  "ERROR",
  "INTERRUPTED",
  "USAGE_ERROR",
  "Judged",
  "Resumption",
  "data_spec",
  "define_data",
  "define_data_dir",
  "define_devices",
  "define_figure",
  "define_judge_network",
  "define_judged_model",
  "define_num_samples",
  "define_resumption",
  "define_sampler",
  "define_scenes",
  "define_seed",
  "define_selection",
  "define_workdir",
  "join",
  "judged",
  "judged_data",
  "judged_dataset",
  "judged_model",
  "required",
  "resumption",
  "run",
  "sampler",
]

# So that `--help` lists these flags under the launcher that asks for them.
flags.disclaim_key_flags()

#: Exit codes: a command line that means nothing, any other error, and Ctrl-C as shells count it.
USAGE_ERROR, ERROR, INTERRUPTED = 2, 1, 130

_MAX_SEED = 2**31 - 1


class _Numbers(flags.ArgumentParser):
  """A number, or several separated by commas, one a layer."""

  def __init__(self, kind: type[int] | type[float]):
    self.kind = kind
    self.syntactic_help = "a number, or one a layer separated by commas, pixels first"

  def parse(self, argument: object) -> int | float | tuple[int | float, ...]:
    try:
      numbers = tuple(self.kind(part) for part in str(argument).split(","))
    except ValueError:
      noun = "an integer" if self.kind is int else "a number"
      raise ValueError(
        f"expected {noun}, or one a layer separated by commas, got {argument!r}"
      ) from None
    return numbers if len(numbers) > 1 else numbers[0]

  def flag_type(self) -> str:
    return "numbers"


class _Listing(flags.ArgumentSerializer):
  def serialize(self, value: int | float | tuple[int | float, ...]) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def define_workdir(default: str | None = None) -> None:
  """`--workdir`."""
  flags.DEFINE_string("workdir", default, "Folder of the model and of what is made of it.")


def define_seed(help_text: str, default: int | None = 0) -> None:
  """`--seed`."""
  flags.DEFINE_integer("seed", default, help_text, lower_bound=0, upper_bound=_MAX_SEED)


def define_num_samples(default: int) -> None:
  """`--num_samples`."""
  flags.DEFINE_integer("num_samples", default, "Number of samples, at least 1.", lower_bound=1)


def define_data() -> None:
  """`--dataset` and what decides which of its images are used."""
  flags.DEFINE_string("dataset", None, f"Data set: {', '.join(data.NAMES)}.")
  define_selection()


def define_devices() -> None:
  """`--num_devices`, and how several processes find each other."""
  flags.DEFINE_integer(
    "num_devices",
    None,
    "Devices to train on, of each process; by default all, or as many as hold whole shards. The "
    "CPU is one, and stands for as many as are asked for. Filters are the same on any number.",
    lower_bound=1,
  )
  flags.DEFINE_bool(
    "distributed",
    False,
    "Trains together with other processes, each started with the same flags; the first has the "
    "workdir and tells of progress.",
  )
  found = "With --distributed; by default as jax finds it, under Slurm, MPI and on TPUs."
  flags.DEFINE_string("coordinator", None, f"host:port of the first process. {found}")
  flags.DEFINE_integer("num_processes", None, f"How many they are. {found}", lower_bound=1)
  flags.DEFINE_integer("process_id", None, f"Which of them this is, from 0. {found}", lower_bound=0)


def join() -> None:
  """Sets up the devices, and waits for the other processes, that `define_devices`' flags name.

  Before anything asks jax for its devices.

  Raises:
    ValueError: for flags that do not go together.
    OSError: where not all processes come.
  """
  given = flags.FLAGS
  found = given.coordinator, given.num_processes, given.process_id
  devices.wanted(given.num_devices)
  if given.distributed:
    devices.join(*found, quiet=not given.debug)
  elif any(value is not None for value in found):
    raise ValueError(
      "distributed: expected --distributed with --coordinator, --num_processes or --process_id, "
      "got none: give it too"
    )


def define_data_dir() -> None:
  """`--data_dir`."""
  flags.DEFINE_string("data_dir", None, "Folder of the TFDS data sets; TFDS's own by default.")


def define_scenes() -> None:
  """`--scenes`."""
  flags.DEFINE_string(
    "scenes", None, "Folder of labelled scenes, whose classifier judges what has no labels."
  )


def define_judge_network(names: Iterable[str]) -> None:
  """`--judge_network`, one of `judging.NETWORKS`, which is slow to import."""
  flags.DEFINE_enum(
    "judge_network",
    "classifier",
    list(names),
    "What judges: the small convolutional classifier, or a FractalNet, which takes three times as "
    "long a step.",
  )


def define_selection() -> None:
  """Where data sets lie, and which of their images are used."""
  define_data_dir()
  flags.DEFINE_integer("image_size", None, "Side to which images are resized.", lower_bound=1)
  flags.DEFINE_integer("limit", None, "Takes the first images only, so many.", lower_bound=1)


def define_judged_model() -> None:
  """`--model`, and the images that it is judged on: by default those of its training."""
  flags.DEFINE_string("model", None, "Model file.")
  flags.DEFINE_string("dataset", None, "Data set; by default that of the model's training.")
  flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of the TFDS data sets; by default that of the training, or TFDS's own.",
  )
  flags.DEFINE_integer(
    "image_size",
    None,
    "Side to which images are resized; by default as the training on this data set did.",
    lower_bound=1,
  )
  flags.DEFINE_integer(
    "limit",
    None,
    "Takes the first training images only, so many; by default as the training on this data set "
    "did.",
    lower_bound=1,
  )


def judged_dataset() -> str:
  """The data set of `define_judged_model`'s flags: the given one, or the model's own.

  Raises:
    ValueError: where there is neither.
    FileNotFoundError: where there is no model.
  """
  given = flags.FLAGS
  if given.dataset:
    return given.dataset
  model = pathlib.Path(required("model", "a model file"))
  if not model.is_file():
    raise FileNotFoundError(f"model: expected a model file, found none at {model}")
  found = _trained_on().get("dataset")
  if not found:
    raise ValueError(
      f"dataset: expected one of {', '.join(data.NAMES)}, got none, and nothing beside {model} "
      "says what it was trained on: give --dataset=..."
    )
  return found


def judged_data() -> runs.DataSpec:
  """The images of `define_judged_model`'s flags, by default those of the model's training.

  Size and limit are of the training's data set: they say nothing of another one.

  Raises:
    ValueError: where no data set is named, or the training's record is damaged.
    FileNotFoundError: where there is no model.
  """
  given = flags.FLAGS
  name, stored = judged_dataset(), _trained_on()
  spec = runs.DataSpec(name, given.data_dir, given.image_size, given.limit)
  place = stored.get("data_dir")
  # The model may have come from another machine.
  if spec.data_dir is None and place is not None and pathlib.Path(place).is_dir():
    spec = spec.replace(data_dir=place)
  if stored.get("dataset") == name:
    of_training = {key: stored.get(key) for key in ("image_size", "limit")}
    missing = {key: value for key, value in of_training.items() if getattr(spec, key) is None}
    spec = spec.replace(**missing)
  return spec


def _trained_on() -> dict[str, Any]:
  """The record beside `--model`; empty where there is none."""
  model = flags.FLAGS.model
  return workdir.read_config(pathlib.Path(model).parent) if model else {}


class Judged(NamedTuple):
  """What `define_judged_model`'s flags name.

  Attributes:
    data: the training images; judges are trained on all of them, whatever the limit.
    path: of the model's file.
    nsn: the network in it.
  """

  data: runs.DataSpec
  path: pathlib.Path
  nsn: nsn_jax.NSN


def judged_model() -> nsn_jax.NSN:
  """The network of `--model`.

  Raises:
    ValueError: where none is given, or the file is damaged.
    FileNotFoundError: where there is none.
  """
  return nsn_jax.load(required("model", "a model file"))


def judged() -> Judged:
  """A model, and the images that it is judged on.

  Raises:
    ValueError: where a flag is missing, or a file is damaged.
    FileNotFoundError: where there is no model.
  """
  path = pathlib.Path(required("model", "a model file"))
  return Judged(judged_data(), path, nsn_jax.load(path))


def define_figure(seed: str, num_samples: int | None = None) -> None:
  """`--workdir`, `--model` with its data set, `--seed`; `--num_samples` where it has a default."""
  define_workdir()
  define_judged_model()
  if num_samples is not None:
    define_num_samples(num_samples)
  define_seed(seed)


def define_sampler() -> None:
  """A flag for each of the sampler's settings, by default the network's own."""
  for name, kind, meaning in (
    ("gamma", float, "dynamic range of the similarities: large is sharp, too large all alike"),
    ("alpha", float, "pixel randomness"),
    ("beta", float, "contrast, relative to the network's own"),
    ("num_draws", int, "filters drawn a position, T; 1 is sharpest"),
  ):
    flags.DEFINE(
      _Numbers(kind),
      name,
      None,
      f"Sampler: {meaning}. By default the network's own.",
      serializer=_Listing(),
    )
  for name, known, meaning in (
    ("prior", config.PRIORS, "what it starts from: the paper's noise, or filters as they are held"),
    ("decoder", config.DECODERS, "what decodes a layer; drawn is the paper's"),
  ):
    own = "By default the network's own."
    flags.DEFINE_enum(name, None, list(known), f"Sampler: {meaning}. {own}")
  flags.DEFINE_float(
    "temperature",
    None,
    "Sampler: of the factors that the mixture draws. By default the network's own.",
    lower_bound=0.0,
  )


def sampler(default: nsn_jax.SamplerConfig) -> nsn_jax.SamplerConfig:
  """The sampler's settings, with what the flags of `define_sampler` change.

  Raises:
    ValueError: for a value out of its range.
  """
  names = [field.name for field in dataclasses.fields(default)]
  values: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
  given = {name: value for name, value in values.items() if value is not None}
  return dataclasses.replace(default, **given)


def required(name: str, expected: str) -> str:
  """The value of a flag that must be given.

  Raises:
    ValueError: where it is not.
  """
  value = flags.FLAGS[name].value
  if not value:
    raise ValueError(f"{name}: expected {expected}, got none: give --{name}=...")
  return value


def define_resumption() -> None:
  """`--resume` and `--overwrite`."""
  flags.DEFINE_bool("resume", False, "Goes on in this workdir; flags left out are as it began.")
  flags.DEFINE_bool("overwrite", False, "Removes what training left in this workdir.")


class Resumption(NamedTuple):
  """A workdir, and how its training goes on.

  Attributes:
    folder: the workdir.
    stored: what the training that is to go on began with; empty where one begins.
    setting: from a flag's name to its value: as given, else as training began, else its default.
  """

  folder: str
  stored: dict[str, Any]
  setting: Callable[[str], Any]


def resumption() -> Resumption:
  """What `define_workdir`'s and `define_resumption`'s flags say.

  Raises:
    ValueError: where no folder is given, or its record is damaged.
  """
  folder = required("workdir", "a folder")
  stored = workdir.read_config(pathlib.Path(folder)) if flags.FLAGS.resume else {}

  def setting(name: str) -> Any:
    flag = flags.FLAGS[name]
    return flag.value if flag.present else stored.get(name, flag.value)

  return Resumption(folder, stored, setting)


def data_spec(setting: Callable[[str], Any]) -> runs.DataSpec:
  """The images that `define_data`'s flags name; `setting` is from `resumption`.

  Raises:
    ValueError: where no data set is named.
  """
  name = setting("dataset")
  if not name:
    raise ValueError(
      f"dataset: expected one of {', '.join(data.NAMES)}, got none: give --dataset=..."
    )
  return runs.DataSpec(name, *(setting(flag) for flag in ("data_dir", "image_size", "limit")))


def run(main: Callable[[], None]) -> None:
  """Runs a launcher and exits: errors are one line, Ctrl-C is no error, `--debug` shows all.

  SIGTERM and SIGHUP are as Ctrl-C.

  Args:
    main: reads its flags from `absl.flags.FLAGS`.
  """
  flags.DEFINE_bool("debug", False, "Shows an error's traceback.")
  app.run(lambda _: _guarded(main), flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
  try:
    rest = flags.FLAGS(argv)
    _expand_homes()
  except (flags.Error, ValueError) as error:
    _fail(str(error))
    sys.exit(USAGE_ERROR)
  if len(rest) > 1:
    _fail(f"expected flags only, as --name=value, got {rest[1]!r}")
    sys.exit(USAGE_ERROR)
  if not flags.FLAGS["verbosity"].present:
    logging.set_verbosity(logging.WARNING)  # jax tells at length which devices are not there.
  return rest


def _expand_homes() -> None:
  """Puts home folders for `~` in all flags: nothing that they take but paths begins with one."""

  def expanded(name: str, value: Any) -> Any:
    if isinstance(value, list):
      return [expanded(name, part) for part in value]
    if isinstance(value, str) and value.startswith("~"):
      return str(workdir.expanded(name, value))
    return value

  for name in flags.FLAGS:
    flag = flags.FLAGS[name]
    if (value := expanded(name, flag.value)) != flag.value:
      flag.value = value


def _guarded(main: Callable[[], None]) -> int:
  try:
    # Not before: until here nothing is under way, and Ctrl-C ends the process at once.
    signals.handle()
    main()
  except KeyboardInterrupt as interrupt:
    if flags.FLAGS.debug:
      raise
    print(str(interrupt) or "interrupted", file=sys.stderr)
    _leave(signals.exit_code())
  except processes.LostProcessError:
    if flags.FLAGS.debug:
      raise
    native_messages.say_lost()
    _leave(ERROR)
  # Readers of files that someone else made run out of memory or of depth.
  except (ValueError, OSError, FloatingPointError, MemoryError, RecursionError) as error:
    if flags.FLAGS.debug:
      raise
    _fail(str(error) or ("out of memory" if isinstance(error, MemoryError) else repr(error)))
    _leave(ERROR)
  return 0


def _leave(code: int) -> NoReturn:
  """Ends the process at once: what XLA still computes dies of a Python that is taken down."""
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):  # Closed by who read it.
      stream.flush()
  os._exit(code)


def _fail(message: str) -> None:
  print("error:", " ".join(message.split()), file=sys.stderr)
