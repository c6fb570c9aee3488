"""Words that say the same in a question and in the text it asks about.

People ask 涨了多少 of a text that says 同比增长, and 评上 where it says 获评. Written by hand for questions about
reports and encyclopaedia articles; levels, years and names are left out, since another one is another thing. Knows
nothing of questions or passages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["SYNONYMS"]

# One line a meaning, the words a blank apart; a word may stand in several lines.
_GROUPS: Final = """
规上 规模以上
增长 涨 上涨 增加 提高 提升 上升 增幅 增速 增
下降 跌 减少 下滑 降低 下跌 降
公司 企业 厂家 厂商 家
汽车 车 车辆
工厂 厂 厂房
成立 组建 创立 建立 设立 创办 创建 设
建成 落成 竣工 完工 建好 建完 建起
建设 建造 兴建 修建 打造 构建 建
开工 动工 开建 在建
拟 准备 打算 计划 将
出台 印发 发布 制定 公布 颁布 下发 推出 出的 发的
入选 入围 进入 列入 选入 纳入 上榜 选上 进了 上了 收了 收录
获评 评上 评为 荣获 获得 获 拿到 拿下 当上 当选 认定 认 取得 创 创建 夺得 赢得
获批 批准 批复 批下 批
出生 生于 诞生
去世 逝世 病逝 死于 离世 死
位于 地处 坐落 座落
举办 举行 召开 主办 开展 办 办了 开了 搞
累计 一共 总共 共计 总计 合计 共 总
目标 力争 争取 要 想
新增 新添 新获 增加 新评 添 多了
又称 别名 也称 俗称 别称
称为 称作 叫做 名为 命名 叫作 叫 称
全名 全称 名字 名称
截至 截止 截止到 到
领导 负责人 主管
启用 投用 投入使用 开通 上线
落户 落地 入驻 设在 放在
投资 投入 耗资 花费 花 砸
资金 钱 亿元 万元
参加 参与 出席 加入
参观 观展 看展 观看
帮助 帮 助力 协助 服务 助
依托 依靠 凭借 借助 通过 靠
推动 推进 促进 带动
添 注入 增添
首次 第一次
首批 头一批 第一批
首个 第一个
目前 现在 当前 如今
每月 每个月
位列 位居 名列 排名 排在 位居
在前列 领先 走在前列 前头
占 占比 比例 比重
注册 登记 上牌
供地 给地 用地
交流 沟通 聊 面对面
扩大 变大 扩展
持续 一直 不断
解决 处理 处办
企业服务 服务企业
收入 营收 营业收入
利润 盈利
价格 价钱 售价
产量 生产 产
居民 市民 群众 百姓
高校 大学 学校
员工 职工 工人 人员
起源 源于 来自 来源
遇难 丧生 死亡
担任 出任 任职 任
执导 导演
撰写 著 编写 写
饰演 出演 扮演 主演
毕业 就读 求学 肄业
通车 开通 运营
距离 相距
海拔 高度 高
长度 全长 长
修建 建造 兴建
由于 因为 因 原因
卸任 辞职 离职 辞任
结婚 成婚 嫁 娶
分布 产于 生长 栖息
更名 改名 改称 易名
隶属 属于 归属
迁往 搬到 迁到 迁至
导致 造成 引起
主要 重点 关键 核心
协同 共同 一起
同时 一块儿 一块
活动 专场活动
汇集 收集 汇聚
点击量 访问量 点击
升级 升格 攀升
转型 转变 转
方式 办法 手段 方法
"""


def _by_word() -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for line in _GROUPS.split("\n"):
        words = line.split()
        for word in words:
            found.setdefault(word, {}).update(dict.fromkeys(other for other in words if other != word))
    return {word: tuple(others) for word, others in found.items()}


SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = _by_word()
"""Word → what may stand for it."""
