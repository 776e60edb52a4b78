"""From text to token ids and back: bytes, a `tokenizers` JSON file or a SentencePiece model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from moec.runtime.data.errors import DataError

BYTES = "bytes"

# Names of the token that ends a document, the first that a tokenizer knows is taken.
# Source: the tokenizer files of GPT-2 and OLMo, Llama 3, Llama 2, T5 and Mixtral, Gemma, DeepSeek, BERT.
_END_NAMES = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>", "[SEP]")


class Tokenizer(Protocol):
    """What the rest of the runtime asks of a tokenizer; `end_of_document` also opens the first document of a stream."""

    @property
    def vocab_size(self) -> int:
        """One more than the largest token id."""
        ...

    @property
    def end_of_document(self) -> int: ...

    @property
    def identity(self) -> str:
        """A hash: equal for tokenizers that give the same ids."""
        ...

    def encode(self, text: str) -> np.ndarray:
        """The token ids of `text` alone: nothing is added before or after. Shapes: [n], int32."""
        ...

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        """`encode` of each text; faster where the tokenizer works in parallel."""
        ...

    def decode(self, ids: Sequence[int] | np.ndarray) -> str: ...


def open_tokenizer(name: str, vocab_size: int) -> Tokenizer:
    """The tokenizer `name`: "bytes", a `tokenizers` file (*.json) or a SentencePiece model (*.model).

    Errors: DataError if the file cannot be used, has no end-of-document token, or needs more ids than `vocab_size`.
    """
    tokenizer = _open(name)
    if tokenizer.vocab_size > vocab_size:
        raise DataError(
            f"The tokenizer {name!r} has {tokenizer.vocab_size:,} token ids and the model's vocab_size is "
            f"{vocab_size:,}. Set vocab_size to at least {tokenizer.vocab_size}."
        )
    return tokenizer


def _open(name: str) -> Tokenizer:
    if name == BYTES:
        return BytesTokenizer()
    path = Path(name).expanduser()
    if path.suffix not in (".json", ".model"):
        raise DataError(
            f'The tokenizer {name!r} is not known. It is "bytes", a `tokenizers` file that ends in .json, '
            "or a SentencePiece model that ends in .model."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"The tokenizer {name!r} cannot be read from {Path.cwd()} ({error}). Correct its path."
        ) from error
    return JsonTokenizer(content, name) if path.suffix == ".json" else SentencePieceTokenizer(content, name)


class BytesTokenizer:
    """The bytes of UTF-8 text are its tokens: 256 ids. Byte 0, which text does not use, ends a document."""

    vocab_size = 256
    end_of_document = 0
    identity = "bytes"

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int32)

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text; bytes that are no UTF-8 and ids that are no bytes become U+FFFD."""
        ids = np.asarray(ids, np.int64)
        return np.where(ids < self.vocab_size, ids, 0xFF).astype(np.uint8).tobytes().decode("utf-8", errors="replace")


class JsonTokenizer:
    """A file of the `tokenizers` library. Special tokens written out in a text are read as plain text."""

    def __init__(self, content: bytes, name: str) -> None:
        try:
            import tokenizers
        except ImportError as error:
            raise _missing(name, "tokenizers") from error
        try:
            self._inner: Any = tokenizers.Tokenizer.from_str(content.decode("utf-8"))
        except Exception as error:  # the library raises bare Exception for a malformed file
            raise DataError(
                f"{name} is not a file of the `tokenizers` library ({error}). Save it with Tokenizer.save()."
            ) from error
        self._inner.no_padding()
        self._inner.no_truncation()
        self._inner.encode_special_tokens = True
        vocabulary: dict[str, int] = self._inner.get_vocab(with_added_tokens=True)
        ends = [vocabulary[end] for end in _END_NAMES if end in vocabulary]
        if not ends:
            raise DataError(f"{name} has no token that ends a document. Add one of: {', '.join(_END_NAMES)}.")
        self.end_of_document = ends[0]
        self.vocab_size = max(vocabulary.values()) + 1
        self.identity = _identity(content)

    def encode(self, text: str) -> np.ndarray:
        return np.asarray(self._inner.encode(text, add_special_tokens=False).ids, np.int32)

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        encodings = self._inner.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(encoding.ids, np.int32) for encoding in encodings]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        return str(self._inner.decode([int(i) for i in ids], skip_special_tokens=False))


class SentencePieceTokenizer:
    """A SentencePiece model; its own end-of-sentence piece ends a document."""

    def __init__(self, content: bytes, name: str) -> None:
        try:
            import sentencepiece
        except ImportError as error:
            raise _missing(name, "sentencepiece") from error
        try:
            self._inner: Any = sentencepiece.SentencePieceProcessor(model_proto=content)
        except RuntimeError as error:
            raise DataError(
                f"{name} is not a SentencePiece model ({error}). Name the .model file that training wrote."
            ) from error
        if self._inner.eos_id() < 0:
            raise DataError(f"{name} has no end-of-sentence piece, which ends a document. Train it with eos_id=2.")
        self.end_of_document = int(self._inner.eos_id())
        self.vocab_size = int(self._inner.vocab_size())
        self.identity = _identity(content)

    def encode(self, text: str) -> np.ndarray:
        return np.asarray(self._inner.encode(text), np.int32)

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.asarray(ids, np.int32) for ids in self._inner.encode(list(texts))]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        return str(self._inner.decode([int(i) for i in ids]))


def _missing(name: str, library: str) -> DataError:
    return DataError(f'The tokenizer {name!r} needs the library {library}. Run: pip install "moec[tokenizers]"')


def _identity(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
