"""Fusion of dense and lexical scores, against the scores of each."""

import numpy as np
import pytest

from conftest import HashEmbedder, make_document
from szqa.datatypes import Document, Passage
from szqa.embedder import StaticEmbedder
from szqa.index import Index
from szqa.retriever import SENTENCE_WEIGHT, Retriever, make_retriever, matched_words
from szqa.text import Segmenter, split_sentences


@pytest.fixture
def index(documents: list[Document], embedder: HashEmbedder, segmenter: Segmenter) -> Index:
    return Index.build(documents, embedder=embedder, segmenter=segmenter)


def test_best_hit_holds_the_answer(index: Index) -> None:
    hits = Retriever(index).search("多少家企业获评省级智能车间", top_k=3)
    assert "224家" in hits[0].passage.text
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert hits[0].score >= hits[1].score >= hits[2].score


def test_scores_are_those_of_the_parts(index: Index) -> None:
    question = "无锡新增几家博物馆"
    lexical = index.lexical.scores(question)
    query = index.embedder.embed_query(question)
    for hit in Retriever(index).search(question, top_k=10):
        row = list(index.passages).index(hit.passage)
        assert hit.lexical_score == pytest.approx(lexical[row])
        assert hit.dense_score == pytest.approx(float(index.store.vectors(np.array([row]))[0] @ query), abs=1e-6)


def test_modes_rank_by_one_score(index: Index) -> None:
    retriever = Retriever(index)
    lexical = retriever.search("无锡的博物馆", mode="lexical")
    dense = retriever.search("无锡的博物馆", mode="dense")
    assert [hit.score for hit in lexical] == sorted((hit.lexical_score for hit in lexical), reverse=True)
    assert [hit.score for hit in dense] == sorted((hit.dense_score for hit in dense), reverse=True)


def test_best_sentence_decides_between_the_best_few(index: Index) -> None:
    question = "无锡新增几家博物馆"
    query = index.embedder.embed_query(question)
    plain = {hit.passage: hit.score for hit in Retriever(index).search(question)}
    weight = 2 * (max(plain.values()) - min(plain.values()))
    hits = Retriever(index, sentence_weight=weight).search(question)
    assert {hit.passage for hit in hits} == set(plain)
    assert len(hits) <= 5  # all of them are looked at
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        text = hit.passage.text
        sentences = index.embedder.embed_passages([text[start:end] for start, end in split_sentences(text)])
        assert hit.score == pytest.approx(plain[hit.passage] + weight * max(0, *(sentences @ query)), abs=1e-4)


def test_sentences_are_left_alone_where_they_cannot_decide(index: Index) -> None:
    question = "无锡新增几家博物馆"
    plain = Retriever(index).search(question)
    gap = plain[0].score - plain[1].score
    assert Retriever(index, sentence_weight=gap / 2).search(question) == plain


def test_sentences_are_looked_at_where_embedding_costs_nothing(documents: list[Document], segmenter: Segmenter) -> None:
    index = Index.build(documents, embedder=StaticEmbedder(segmenter), segmenter=segmenter)
    assert make_retriever(index) == Retriever(index, sentence_weight=SENTENCE_WEIGHT)
    assert make_retriever(index).without_meaning() == Retriever(index, dense_weight=0.0)


def test_sentences_are_left_alone_where_it_costs(index: Index) -> None:
    assert make_retriever(index) == Retriever(index)


@pytest.mark.parametrize("question", ["🙂", "？？", "…"])
def test_nothing_known_finds_nothing(index: Index, question: str) -> None:
    assert Retriever(index).search(question) == []


def test_equal_passages_come_in_the_order_of_the_corpus(embedder: HashEmbedder, segmenter: Segmenter) -> None:
    twins = [make_document("苏州很美。", source=f"{name}.txt") for name in "cab"]
    hits = Retriever(Index.build(twins, embedder=embedder, segmenter=segmenter)).search("苏州美吗")
    assert [hit.passage.document_id for hit in hits] == [twin.id for twin in twins]


def test_title_finds_the_sister_document(embedder: HashEmbedder, segmenter: Segmenter) -> None:
    sisters = [
        make_document("城镇调查失业率为5.1%，经济稳中有进。", title=f"{name}政府工作报告", source=f"{name}.txt")
        for name in ("云南", "海南", "湖南")
    ]
    index = Index.build(sisters, embedder=embedder, segmenter=segmenter)
    hits = Retriever(index).search("海南的失业率是多少")
    assert hits[0].passage.title == "海南政府工作报告"


def test_matched_words(segmenter: Segmenter) -> None:
    passage = Passage("x:0-4", "x", "海南", (), "失业率。", 0, 4)
    assert matched_words(segmenter, "海南的失业率是多少", passage) == ("海南", "失业", "失业率")
