"""A question-answering model of another make, loaded as transformers saves it."""

import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForQuestionAnswering, BertModel, PreTrainedTokenizerFast

from szqa.datatypes import Hit, Passage
from szqa.errors import ConfigurationError
from szqa.hub_reader import HubReader, load_hub_reader

ALPHABET = "苏州新增能源汽车20.9万辆，渗透率达45.3%。多少？家企业入选"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
DIGITS = frozenset("0123456789")


def make_hit(text: str, number: int = 0) -> Hit:
    return Hit(Passage(f"d:{number}", "d", "苏州", (), text, 0, len(text)), 1.0, number + 1)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT whose first and last layers are set by hand so that its spans begin and end at digits."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    tokens = [*SPECIAL, *sorted(set(ALPHABET))]
    tokenizer = Tokenizer(models.WordLevel({token: n for n, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {f"{token.strip('[]').lower()}_token": token for token in SPECIAL}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)  # type: ignore[no-untyped-call]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=48, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForQuestionAnswering(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.1)
        bert = model.get_submodule("bert")
        assert isinstance(bert, BertModel)
        bert.embeddings.LayerNorm.weight.fill_(1.0)
        for layer in model.modules():
            if isinstance(layer, torch.nn.LayerNorm):
                layer.weight.fill_(1.0)
        for number, token in enumerate(tokens):
            bert.embeddings.word_embeddings.weight[number, 0] = 3.0 if token in DIGITS else -3.0
        model.qa_outputs.weight.zero_()
        model.qa_outputs.weight[:, 0] = 2.0
        model.qa_outputs.bias.zero_()
    model.save_pretrained(folder)
    return folder


def test_read_gives_verbatim_spans_best_first(model_dir: Path) -> None:
    text = "苏州新增新能源汽车20.9万辆，渗透率达45.3%。"
    spans = load_hub_reader(str(model_dir)).read("多少辆？", [make_hit(text)])
    assert spans[0].text[0] in DIGITS and spans[0].text[-1] in DIGITS
    assert [span.score for span in spans] == sorted((span.score for span in spans), reverse=True)
    assert all(span.text == text[span.start : span.end] and 0 <= span.score <= 1 for span in spans)
    assert spans[0].score > 0.9


def test_a_passage_longer_than_the_model_is_read_to_its_end(model_dir: Path) -> None:
    text = "新能源汽车企业，" * 30 + "入选5家。"
    best = load_hub_reader(str(model_dir)).read("多少家？", [make_hit(text)])[0]
    assert best.text == "5"


def test_spans_of_several_passages_are_compared(model_dir: Path) -> None:
    hits = [make_hit("苏州企业入选。"), make_hit("苏州企业入选5家。", 1)]
    spans = load_hub_reader(str(model_dir)).read("多少家？", hits)
    assert (spans[0].text, spans[0].passage.id) == ("5", "d:1")
    places = [(span.passage.id, span.start, span.end) for span in spans]
    assert len(set(places)) == len(places) <= 10


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_nothing_to_read_gives_no_span(model_dir: Path, text: str) -> None:
    assert load_hub_reader(str(model_dir)).read("多少？", [make_hit(text)]) == []
    assert load_hub_reader(str(model_dir)).read("多少？", []) == []


def test_a_long_question_leaves_room_for_the_passage(model_dir: Path) -> None:
    (best, *_) = load_hub_reader(str(model_dir)).read("苏州" * 300 + "多少家？", [make_hit("入选5家。")])
    assert best.text == "5"


def test_a_folder_that_is_no_model_is_refused(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="既不是 combined、ranker，也不是能加载的问答模型"):
        load_hub_reader(str(tmp_path))
    shutil.copytree(model_dir, tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="no such reader"):
        load_hub_reader(str(tmp_path / "cut"))


def test_the_name_is_part_of_what_answers_depend_on(model_dir: Path) -> None:
    reader = load_hub_reader(str(model_dir))
    assert isinstance(reader, HubReader)
    assert reader.reader_id == f"{model_dir} bert"
