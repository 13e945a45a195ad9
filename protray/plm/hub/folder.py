"""Is a folder a language model that can be read?  Told from its files' names and headers, before anything starts."""

from pathlib import Path

from protray.models.weight_files import check_whole, read_object, weight_files
from protray.plm.shipped import resolve

CONFIG = "config.json"
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")  # of any tokenizer of Transformers
TOKENIZER = (*VOCABULARIES, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
ADAPTER = "adapter_config.json"
DEEP = 3  # folders in which a model is looked for that was not where it should be


def check_present(name: str) -> None:
    """Raise ValueError unless there is such a language model, whole; actors would say so much later."""
    path = Path(resolve(name))
    if path.is_dir():
        return check_folder(path)
    if path.is_file():
        raise ValueError(f"language model {path}: it is a file; give the folder in which it lies, with its {CONFIG}")
    if path.is_absolute() or len(path.parts) > 2 or name.startswith("."):  # on the hub: `name` or `owner/name`
        raise ValueError(f"language model {path}: there is no such folder")
    from protray.plm.hub.loading import read_config

    read_config(name)
    return None


def check_folder(folder: Path) -> None:
    """Raise ValueError, in one line, for what is no model, or not all of one."""
    try:
        _check_kind(folder)
        for file in weight_files(folder):
            check_whole(file)
        _check_tokenizer(folder)
    except ValueError as error:
        reason = str(error).removeprefix(f"{folder}").removeprefix("/")
        raise ValueError(f"language model {folder}: {reason.strip()}") from None


def _check_kind(folder: Path) -> None:
    if (folder / ADAPTER).is_file():
        base = read_object(folder / ADAPTER).get("base_model_name_or_path", "?")
        raise ValueError(
            f"it is an adapter (LoRA) of {base}, not a whole model; merge the two (peft: merge_and_unload) and save "
            "the result with save_pretrained"
        )
    for name, job in (("score_net.json", "score_net"), ("ssdm.json", "ssdm")):
        if (folder / name).is_file():
            raise ValueError(f"it is a model of jobs/{job}.py, which reads structures; --lm needs another model")
    if not (folder / CONFIG).is_file():
        if (folder / CONFIG).is_symlink():
            raise ValueError(f"its {CONFIG} is a link to a file that is not there; copy the file itself")
        below = _models_below(folder)
        hint = f"; give {below[0]}" if below else ""
        raise ValueError(f"it has no {CONFIG}, so it is no model folder{hint}")
    config = read_object(folder / CONFIG)
    if "lm" in config and "format" in config:
        raise ValueError(f"it is a model of jobs/distil.py; the language model that it reads with is {config['lm']}")
    if not isinstance(config.get("model_type"), str):
        raise ValueError(f"{CONFIG} does not say which architecture it is (model_type); save it with save_pretrained")


def _models_below(folder: Path) -> list[Path]:
    """Model folders in this one, such as the ``model`` of a run, or a snapshot in the cache of Hugging Face."""
    patterns = ("/".join(["*"] * depth) + f"/{CONFIG}" for depth in range(1, DEEP + 1))
    return [file.parent for pattern in patterns for file in sorted(folder.glob(pattern))]


def _check_tokenizer(folder: Path) -> None:
    files = [file for pattern in TOKENIZER for file in sorted(folder.glob(pattern)) if file.is_file()]
    if not any(file.match(pattern) for file in files for pattern in VOCABULARIES):
        raise ValueError("it has no tokenizer (vocab.txt, tokenizer.json or a .model file); copy those of the model")
    for file in files:
        if file.suffix == ".json":
            read_object(file)
        else:
            check_whole(file)
