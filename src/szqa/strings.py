"""What the pages say, in simplified Chinese, Taiwan's Chinese and English.

One frozen set of words a language, so that a missing one is a type error. It knows nothing of pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["LANGUAGES", "WORDS", "Language", "Words", "language_of"]

Language = Literal["zh-CN", "zh-TW", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh-CN", "zh-TW", "en")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language; ``{}`` stands for what is filled in."""

    title: str
    subtitle: str
    conversation: str
    question: str
    placeholder: str
    ask: str
    clear: str
    examples: str
    searching: str
    you_asked: str
    answer: str
    understood: str
    edit: str
    ask_again: str
    not_found: str
    related: str
    instead: str
    confidence: str
    citations: str
    open_citation: str
    source: str
    whole_source: str
    close: str
    copy: str
    copied: str
    retry: str
    undo: str
    helpful: str
    unhelpful: str
    thanks: str
    comment: str
    send: str
    comment_sent: str
    unsaved: str
    failed: str
    busy: str
    away: str
    index_page: str
    api_page: str
    embed: str
    embed_hint: str
    documents: str
    passages: str
    characters: str
    model: str
    dictionary: str
    setting: str
    value: str
    why: str
    why_hint: str
    matched: str
    nothing_matched: str
    fused: str
    lexical: str
    dense: str
    rank: str
    no_hits: str
    not_candidate: str
    back: str
    missing_page: str


WORDS: Final[dict[Language, Words]] = {
    "zh-CN": Words(
        title="文档问答",
        subtitle="答案逐字摘自文档，附原文出处；文档里没有的，不会编造。",
        conversation="对话",
        question="问题",
        placeholder="输入问题，按 Enter 提问",
        ask="提问",
        clear="清空对话",
        examples="试着问",
        searching="正在查找原文…",
        you_asked="问：",
        answer="答案：",
        understood="理解为：",
        edit="修改",
        ask_again="按此重新提问",
        not_found="文档中没有找到答案。",
        related="可能相关的段落",
        instead="文档能回答的问题",
        confidence="把握 {}",
        citations="出处",
        open_citation="打开出处 {}",
        source="原文",
        whole_source="打开全文",
        close="关闭",
        copy="复制",
        copied="已复制",
        retry="重试",
        undo="撤回",
        helpful="有帮助",
        unhelpful="没有帮助",
        thanks="谢谢反馈。",
        comment="想说明一下吗？（可不填）",
        send="发送",
        comment_sent="已记下，谢谢。",
        unsaved="没能记下您的反馈，请重试。",
        failed="出了点问题，没有得到回答。",
        busy="正在回答的问题太多，请稍后重试。",
        away="连不上服务器：网络中断，或服务已停止。请稍后刷新网页再试。",
        index_page="索引",
        api_page="接口",
        embed="嵌入网页",
        embed_hint="把这一行放进任意网页，并用 --allow-origin 允许该网站：",
        documents="文档",
        passages="段落",
        characters="字数",
        model="模型",
        dictionary="词典",
        setting="项目",
        value="值",
        why="为何命中",
        why_hint="输入一个问题，看找到了哪些段落，为什么。",
        matched="命中词",
        nothing_matched="没有相同的词",
        fused="总分",
        lexical="字面 BM25",
        dense="语义 余弦",
        rank="名次",
        no_hits="没有找到任何段落。",
        not_candidate="这个段落不在候选之列。",
        back="返回问答",
        missing_page="没有这一页",
    ),
    "zh-TW": Words(
        title="文件問答",
        subtitle="答案逐字摘自文件，附原文出處；文件裡沒有的，不會編造。",
        conversation="對話",
        question="問題",
        placeholder="輸入問題，按 Enter 提問",
        ask="提問",
        clear="清空對話",
        examples="試著問",
        searching="正在查找原文…",
        you_asked="問：",
        answer="答案：",
        understood="理解為：",
        edit="修改",
        ask_again="按此重新提問",
        not_found="文件中沒有找到答案。",
        related="可能相關的段落",
        instead="文件能回答的問題",
        confidence="把握 {}",
        citations="出處",
        open_citation="開啟出處 {}",
        source="原文",
        whole_source="開啟全文",
        close="關閉",
        copy="複製",
        copied="已複製",
        retry="重試",
        undo="收回",
        helpful="有幫助",
        unhelpful="沒有幫助",
        thanks="謝謝回饋。",
        comment="想說明一下嗎？（可不填）",
        send="送出",
        comment_sent="已記下，謝謝。",
        unsaved="沒能記下您的回饋，請重試。",
        failed="出了點問題，沒有得到回答。",
        busy="正在回答的問題太多，請稍後重試。",
        away="連不上伺服器：網路中斷，或服務已停止。請稍後重新整理網頁再試。",
        index_page="索引",
        api_page="介面",
        embed="嵌入網頁",
        embed_hint="把這一行放進任意網頁，並用 --allow-origin 允許該網站：",
        documents="文件",
        passages="段落",
        characters="字數",
        model="模型",
        dictionary="詞典",
        setting="項目",
        value="值",
        why="為何命中",
        why_hint="輸入一個問題，看找到了哪些段落，為什麼。",
        matched="命中詞",
        nothing_matched="沒有相同的詞",
        fused="總分",
        lexical="字面 BM25",
        dense="語意 餘弦",
        rank="名次",
        no_hits="沒有找到任何段落。",
        not_candidate="這個段落不在候選之列。",
        back="返回問答",
        missing_page="沒有這一頁",
    ),
    "en": Words(
        title="Ask the documents",
        subtitle="Answers are quoted from the documents, with their source. What they do not say is not made up.",
        conversation="Conversation",
        question="Question",
        placeholder="Ask in Chinese, Enter sends",
        ask="Ask",
        clear="Clear conversation",
        examples="Try asking",
        searching="Searching the documents…",
        you_asked="You asked: ",
        answer="Answer: ",
        understood="Understood as: ",
        edit="Edit",
        ask_again="Ask this instead",
        not_found="The documents do not say.",
        related="Possibly related passages",
        instead="Questions the documents answer",
        confidence="confidence {}",
        citations="Sources",
        open_citation="Open source {}",
        source="Source",
        whole_source="Open the whole text",
        close="Close",
        copy="Copy",
        copied="Copied",
        retry="Retry",
        undo="Undo",
        helpful="Helpful",
        unhelpful="Not helpful",
        thanks="Thank you.",
        comment="Anything to add? (optional)",
        send="Send",
        comment_sent="Noted, thank you.",
        unsaved="Your feedback could not be kept; please retry.",
        failed="Something went wrong; there is no answer.",
        busy="Too many questions are being answered; please retry in a moment.",
        away="The server is out of reach: offline, or stopped. Please reload the page in a moment.",
        index_page="Index",
        api_page="API",
        embed="Embed",
        embed_hint="Put this line into any page, and allow its site with --allow-origin:",
        documents="Documents",
        passages="Passages",
        characters="Characters",
        model="Models",
        dictionary="Dictionary",
        setting="Setting",
        value="Value",
        why="Why this hit",
        why_hint="Enter a question to see which passages are found, and why.",
        matched="Matched words",
        nothing_matched="no word in common",
        fused="Score",
        lexical="Words (BM25)",
        dense="Meaning (cosine)",
        rank="Rank",
        no_hits="No passage was found.",
        not_candidate="This passage is not among the candidates.",
        back="Back to the chat",
        missing_page="No such page",
    ),
}


def language_of(accept_language: str | None) -> Language:
    """The language to speak, by an Accept-Language header (RFC 9110, section 12.5.4); simplified Chinese by default."""
    ranked: list[tuple[float, int, Language]] = []
    for place, item in enumerate((accept_language or "").split(",")):
        tag, _, parameters = item.strip().lower().partition(";")
        language = _match(tag)
        if language:
            ranked.append((-_quality(parameters), place, language))
    return min(ranked)[2] if ranked else "zh-CN"


def _match(tag: str) -> Language | None:
    primary, *rest = tag.split("-")
    if primary == "en":
        return "en"
    if primary not in ("zh", "yue", "cmn"):
        return None
    return "zh-TW" if {"tw", "hk", "mo", "hant"}.intersection(rest) else "zh-CN"


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    try:
        return float(value) if name == "q" else 1.0
    except ValueError:
        return 0.0
