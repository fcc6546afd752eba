"""The demonstration page: a small CRM with the employees' screens, calls, clients, chat and click-to-call."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any

from .portal import COMPANY, CONTACT, DEAL, LEAD, Call, Portal
from .wire import Params, zone

SHOWN_CALLS = 50
RU = {
    "title": "Эмулятор Битрикс24",
    "notice": "Это эмулятор для проверок и показа, не портал Битрикс24",
    "screens": "Экраны сотрудников",
    "calls": "Звонки",
    "clients": "Клиенты CRM",
    "chat": "Сообщения",
    "call": "Позвонить",
    "employee": "Сотрудник",
    "phone": "Номер клиента",
    "line": "Линия",
    "time": "Время",
    "client": "Клиент",
    "direction": "Направление",
    "duration": "Длительность",
    "status": "Итог",
    "record": "Запись",
    "extension": "доб.",
    "quiet": "нет карточек",
    "none": "пока пусто",
    "in": "входящий",
    "out": "исходящий",
    "redirected": "перевод",
    "callback": "обратный звонок",
    "info": "информационный",
    "incoming_card": "Входящий звонок",
    "outgoing_card": "Исходящий звонок",
    "responsible": "Ответственный",
    "hanging": "звонок завершён, карточка осталась",
    LEAD: "Лид",
    DEAL: "Сделка",
    CONTACT: "Контакт",
    COMPANY: "Компания",
    "200": "состоялся",
    "304": "пропущен",
    "603": "отклонён",
    "603-S": "отменён",
    "486": "занято",
    "480": "недоступен",
    "404": "неверный номер",
    "sent": "Вызов отправлен приложению",
    "failed": "Не получилось",
    "sec": "с",
}
EN = {
    "title": "Bitrix24 emulator",
    "notice": "An emulator for tests and demonstrations, not a Bitrix24 portal",
    "screens": "Employees' screens",
    "calls": "Calls",
    "clients": "CRM clients",
    "chat": "Messages",
    "call": "Call",
    "employee": "Employee",
    "phone": "Client's number",
    "line": "Line",
    "time": "Time",
    "client": "Client",
    "direction": "Direction",
    "duration": "Duration",
    "status": "Status",
    "record": "Recording",
    "extension": "ext.",
    "quiet": "no cards",
    "none": "nothing yet",
    "in": "incoming",
    "out": "outgoing",
    "redirected": "redirected",
    "callback": "callback",
    "info": "info call",
    "incoming_card": "Incoming call",
    "outgoing_card": "Outgoing call",
    "responsible": "Responsible",
    "hanging": "the call is over, the card is left",
    LEAD: "Lead",
    DEAL: "Deal",
    CONTACT: "Contact",
    COMPANY: "Company",
    "200": "talked",
    "304": "missed",
    "603": "declined",
    "603-S": "cancelled",
    "486": "busy",
    "480": "unavailable",
    "404": "wrong number",
    "sent": "The call was sent to the application",
    "failed": "Failed",
    "sec": "s",
}
TEXTS = {"ru": RU, "en": EN}
DIRECTIONS = {1: "out", 2: "in", 3: "redirected", 4: "callback", 5: "info"}


def language(query: Params, accept: str) -> str:
    wanted = str(query.get("lang") or accept).strip().lower()[:2]
    return wanted if wanted in TEXTS else "en"


def _clock(portal: Portal, moment: float) -> str:
    return datetime.fromtimestamp(moment, zone(portal.config.utc_offset)).strftime("%H:%M:%S")


def fragments(portal: Portal, lang: str) -> dict[str, Any]:
    """The parts of the page that change, each as HTML; all values are escaped."""
    text = TEXTS[lang]
    return {
        "version": f"{portal.version}.{len(portal.rows)}",
        "screens": _screens(portal, text),
        "calls": _calls(portal, text),
        "clients": _clients(portal, text),
        "chat": _chat(portal, text),
    }


def _entity_link(portal: Portal, text: dict[str, str], kind: str, number: int | None) -> str:
    entity = portal.entities.get(kind, {}).get(number or 0)
    if entity is None:
        return "—"
    return f'<span class="tag {kind.lower()}">{text[kind]}</span> {escape(portal.title(kind, entity) or str(number))}'


def _name(portal: Portal, user_id: int) -> str:
    user = portal.users.get(user_id)
    return escape(user.full_name if user else f"#{user_id}")


def _screens(portal: Portal, text: dict[str, str]) -> str:
    parts = []
    for user in portal.users.values():
        if not user.active:
            continue
        cards = [_card(portal, text, portal.calls[i]) for i in portal.screens.get(user.id, {}) if i in portal.calls]
        extension = f"<small>{text['extension']} {escape(user.phone_inner)}</small>" if user.phone_inner else ""
        body = "".join(cards) or f'<p class="quiet">{text["quiet"]}</p>'
        parts.append(f'<div class="screen"><h3>{escape(user.full_name)} {extension}</h3>{body}</div>')
    return "".join(parts)


def _card(portal: Portal, text: dict[str, str], call: Call) -> str:
    label = text["outgoing_card" if call.type == 1 else "incoming_card"]
    over = "" if call.live else f'<p class="over">{text["hanging"]}</p>'
    state = "live" if call.live else "left"
    entity = _entity_link(portal, text, call.crm_type, call.crm_id)
    return (
        f'<div class="card {state}"><small>{label}</small><b>{escape(call.phone)}</b><p>{entity}</p>'
        f"<small>{text['line']}: {escape(call.line or '—')}</small>{over}</div>"
    )


def _calls(portal: Portal, text: dict[str, str]) -> str:
    names = ("time", "client", "direction", "employee", "duration", "status", "record")
    head = "".join(f"<th>{text[name]}</th>" for name in names)
    rows = "".join(_row(portal, text, call) for call in reversed(portal.rows[-SHOWN_CALLS:]))
    empty = f'<tr><td colspan="7" class="quiet">{text["none"]}</td></tr>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows or empty}</tbody></table>"


def _row(portal: Portal, text: dict[str, str], call: Call) -> str:
    end = call.finish
    assert end is not None
    audio = "—"
    if call.record:
        source = f"{_root(portal)}/_emulator/record/{call.record.file_id}"
        audio = f'<audio controls preload="none" src="{escape(source)}"></audio>'
    mood = "good" if end.duration else "bad"
    code = escape(text.get(end.status_code, end.status_code))
    entity = _entity_link(portal, text, call.crm_type, call.crm_id)
    return (
        f"<tr><td>{_clock(portal, end.at)}</td><td><b>{escape(call.phone)}</b><br>{entity}</td>"
        f"<td>{text[DIRECTIONS[call.type]]}</td><td>{_name(portal, end.user_id)}</td>"
        f'<td>{end.duration} {text["sec"]}</td><td><span class="dot {mood}"></span>{code}</td><td>{audio}</td></tr>'
    )


def _clients(portal: Portal, text: dict[str, str]) -> str:
    rows = []
    for kind in (LEAD, DEAL, CONTACT, COMPANY):
        for number, entity in reversed(list(portal.entities[kind].items())[-20:]):
            phones = ", ".join(escape(str(phone["VALUE"])) for phone in entity.get("PHONE") or [])
            source = " / ".join(escape(str(entity[n])) for n in ("UTM_SOURCE", "UTM_CAMPAIGN") if entity.get(n))
            name = _name(portal, int(entity.get("ASSIGNED_BY_ID") or 0))
            rows.append(
                f"<li>{_entity_link(portal, text, kind, number)}<br><small>{phones} {source}</small>"
                f"<small class=who>{text['responsible']}: {name}</small></li>"
            )
    return f"<ul>{''.join(rows)}</ul>" if rows else f'<p class="quiet">{text["none"]}</p>'


def _chat(portal: Portal, text: dict[str, str]) -> str:
    items = []
    for message in reversed(portal.messages[-30:]):
        to = _name(portal, int(message["to"])) if message["to"].isdigit() else escape(message["to"])
        head = f"<small>{_clock(portal, message['at'])} → {to}</small>"
        items.append(f"<li>{head}<div class=bubble>{escape(message['text'])}</div></li>")
    return f"<ul>{''.join(items)}</ul>" if items else f'<p class="quiet">{text["none"]}</p>'


def _root(portal: Portal) -> str:
    return "/p/" + portal.config.name if "/p/" in portal.base_url else ""


def render(portal: Portal, lang: str, prefix: str) -> str:
    """The whole page; what is inside the sections is refreshed each second."""
    text = TEXTS[lang]
    parts = fragments(portal, lang)
    root = f"/p/{prefix}" if prefix else ""
    users = "".join(
        f'<option value="{user.id}">{escape(user.full_name)}</option>' for user in portal.users.values() if user.active
    )
    sections = "".join(
        f'<section class="{name}"><h2>{text[name]}</h2><div id="{name}">{parts[name]}</div></section>'
        for name in ("screens", "calls", "clients", "chat")
    )
    return f"""<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{text["title"]}</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">
<style>{STYLE}</style></head>
<body><header><h1>{text["title"]} <small>{escape(portal.config.name)}</small></h1>
<nav><a href="?lang=ru" hreflang="ru">Русский</a> <a href="?lang=en" hreflang="en">English</a></nav></header>
<p class="notice">Bitrix24 emulator / эмулятор — {text["notice"]}</p>
<form id="dial"><label>{text["employee"]}<select name="user_id">{users}</select></label>
<label>{text["phone"]}<input name="phone" value="+79000000001" required></label>
<label>{text["line"]}<input name="line" value=""></label><button>{text["call"]}</button>
<output id="said" data-ok="{text["sent"]}" data-no="{text["failed"]}"></output></form>
<main>{sections}</main>
<script>{SCRIPT.replace("ROOT", root).replace("LANG", lang)}</script></body></html>"""


STYLE = """
*{box-sizing:border-box}body{margin:0;font:15px/1.45 system-ui,sans-serif;background:#eef2f6;color:#1f2d3d}
header{display:flex;justify-content:space-between;align-items:center;padding:.8rem 1.5rem;background:#1f6f8b;color:#fff}
h1{font-size:1.25rem;margin:0}h1 small{opacity:.7;font-weight:400}nav a{color:#fff;margin-left:1rem}
h2{font-size:1rem;margin:0 0 .7rem}h3{font-size:.95rem;margin:0 0 .4rem}small{color:#63768a}header small{color:inherit}
.notice{margin:0;padding:.45rem 1.5rem;background:#ffe9a8;color:#5b4500;font-weight:600}
form{display:flex;flex-wrap:wrap;gap:.8rem;align-items:end;padding:1rem 1.5rem;background:#fff}
label{display:grid;font-size:.8rem;color:#4c5f73}input,select{font:inherit;padding:.4rem;border:1px solid #c3cfda}
input,select,button{border-radius:6px}button{font:inherit;padding:.45rem 1.2rem;border:0;background:#2f9e5b;color:#fff}
main{display:grid;grid-template-columns:3fr 1fr;gap:1rem;padding:1rem 1.5rem}
section{background:#fff;border-radius:10px;padding:1rem;box-shadow:0 1px 3px #0002;min-width:0;overflow:auto}
.screens{grid-column:1/-1}.calls{grid-row:span 2}#screens{display:grid;gap:.8rem}
#screens{grid-template-columns:repeat(auto-fill,minmax(210px,1fr))}
.screen{background:#f6f8fa;border:1px solid #dde5ec;border-radius:8px;padding:.7rem;min-height:6.5rem}
.card{background:#fff;border-left:4px solid #2f9e5b;border-radius:6px;padding:.5rem .7rem;box-shadow:0 2px 8px #0002}
.card+.card{margin-top:.5rem}.card b{display:block;font-size:1.1rem}.card p{margin:.2rem 0}.left{border-color:#c0392b}
.over{color:#a93226;font-size:.8rem}.quiet{color:#7b8a99;margin:.3rem 0}table{width:100%;border-collapse:collapse}
th{text-align:left;font-size:.78rem;color:#63768a}th,td{padding:.4rem .5rem;border-bottom:1px solid #e7edf2}
audio{height:32px;width:220px}.tag{font-size:.72rem;padding:.05rem .4rem;border-radius:4px;background:#dfeaf5}
.tag.lead{background:#d7f0ff}.tag.deal{background:#e9e0ff}.tag.contact{background:#dcf5e3}.tag.company{background:#ffeed6}
.dot{display:inline-block;width:.6rem;height:.6rem;border-radius:50%;margin-right:.4rem}
.good{background:#2f9e5b}.bad{background:#c0392b}ul{list-style:none;margin:0;padding:0}li{padding:.35rem 0}
.bubble{background:#e4f3ff;border-radius:8px;padding:.4rem .6rem;overflow-wrap:anywhere;white-space:pre-wrap}
.who{display:block}@media(max-width:900px){main{grid-template-columns:1fr}}
"""

SCRIPT = """
let seen="";const parts=["screens","calls","clients","chat"],now={};
async function look(){try{const r=await fetch("ROOT/_emulator/page?lang=LANG");const d=await r.json();
if(d.version!==seen){seen=d.version;for(const p of parts)if(now[p]!==d[p]){now[p]=d[p];
document.getElementById(p).innerHTML=d[p]}}}catch(e){}setTimeout(look,1000)}
const dial=document.getElementById("dial"),said=document.getElementById("said");
dial.addEventListener("submit",async e=>{e.preventDefault();const b=Object.fromEntries(new FormData(dial));
const r=await fetch("ROOT/_emulator/click-to-call",{method:"POST",body:JSON.stringify(b)});
said.textContent=r.ok?said.dataset.ok:said.dataset.no;look1()});
async function look1(){seen=""}look();
"""
