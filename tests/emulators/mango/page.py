"""The softphone board: one HTML page, visibly an emulator, in Russian and English."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from .scenarios import SCENARIOS

if TYPE_CHECKING:
    from .emulator import MangoEmulator

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Emulator of Mango Office",
        "warning": "This is an emulator for tests and demonstrations, not the service of Mango Office.",
        "people": "Extensions", "start": "Start a call", "live": "Live calls", "finished": "Finished calls",
        "client": "Client", "line": "Line", "extension": "Extension", "second": "Second", "talk": "Talk, s",
        "record": "Record", "account": "Account", "kind": "Kind", "direction": "Direction", "outcome": "Outcome",
        "state": "State", "recording": "Recording", "client_hangs_up": "Client hangs up",
        "employee_hangs_up": "Employee hangs up", "none": "none", "violations": "Violations of the protocol by the hub",
        "other": "Русский", "in": "incoming", "out": "outgoing", "internal": "internal", "answered": "answered",
        "missed": "missed", "busy": "busy", "yes": "yes", "free": "free", "group": "Group",
        "sent": "notifications sent",
    },
    "ru": {
        "title": "Эмулятор Mango Office",
        "warning": "Это эмулятор для проверок и показа, а не сервис Mango Office.",
        "people": "Сотрудники", "start": "Начать звонок", "live": "Сейчас идут", "finished": "Завершённые звонки",
        "client": "Клиент", "line": "Линия", "extension": "Внутренний", "second": "Второй", "talk": "Разговор, с",
        "record": "Запись", "account": "Счёт", "kind": "Вид", "direction": "Направление", "outcome": "Итог",
        "state": "Состояние", "recording": "Запись", "client_hangs_up": "Клиент кладёт трубку",
        "employee_hangs_up": "Сотрудник кладёт трубку", "none": "нет",
        "violations": "Нарушения протокола со стороны хаба",
        "other": "English", "in": "входящий", "out": "исходящий", "internal": "внутренний", "answered": "отвечен",
        "missed": "пропущен", "busy": "занято", "yes": "есть", "free": "свободен", "group": "Группа",
        "sent": "уведомлений отправлено",
    },
}  # fmt: skip
NAMES_RU = {
    "incoming_ivr": "входящий через IVR", "incoming_direct": "входящий прямой", "incoming_group": "входящий на группу",
    "missed": "пропущен группой", "missed_direct": "пропущен, клиент положил трубку",
    "missed_timeout": "пропущен, нет ответа",
    "busy": "занято", "died_in_ivr": "завершён схемой IVR", "left_ivr": "клиент ушёл из IVR",
    "ivr_dtmf": "IVR с донабором",
    "outgoing": "исходящий", "outgoing_no_answer": "исходящий, нет ответа", "outgoing_busy": "исходящий, занято",
    "callback": "звонок по клику", "callback_group": "обратный звонок группы", "internal": "внутренний",
    "transfer_consult": "перевод с консультацией", "transfer_blind": "слепой перевод",
    "transfer_blind_return": "слепой перевод с возвратом", "unknown_extension": "неизвестный внутренний",
    "hidden_number": "скрытый номер", "late_recording": "поздняя запись", "call_tracking": "коллтрекинг",
    "out_of_order": "события не по порядку",
}  # fmt: skip

STYLE = """
:root{color-scheme:light dark;--line:#8884;--accent:#b25c00}
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:1100px;padding:0 16px 40px}
.mark{background:#ffd79a;color:#4a2600;padding:10px 16px;margin:0 -16px;border-bottom:3px solid var(--accent)}
h1{font-size:22px;margin:16px 0 4px}h2{font-size:16px;margin:24px 0 8px}
.row{display:flex;flex-wrap:wrap;gap:8px;align-items:end}label{display:flex;flex-direction:column;font-size:13px}
input,select,button{font:inherit;padding:6px 9px;border:1px solid var(--line);border-radius:6px}input{width:8.5em}
button{cursor:pointer}.card{border:1px solid var(--line);border-radius:8px;padding:8px 12px;min-width:150px}
.busy{border-color:var(--accent);box-shadow:inset 4px 0 var(--accent)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:5px 8px;border-bottom:1px solid var(--line)}
.scroll{overflow-x:auto}a{color:inherit}small{opacity:.75}
"""

SCRIPT = """
const T = JSON.parse(document.getElementById('texts').textContent);
const $ = id => document.getElementById(id);
function el(tag, text, cls) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (cls) node.className = cls;
  return node;
}
function row(cells) {
  const tr = el('tr');
  for (const cell of cells) { const td = el('td'); td.append(cell); tr.append(td); }
  return tr;
}
async function post(path, data) {
  const answer = await (await fetch('/_emulator/' + path, {method: 'POST', body: JSON.stringify(data)})).json();
  $('error').textContent = answer.error || '';
  load();
}
for (const button of document.querySelectorAll('[data-kind]')) button.onclick = () => {
  const data = {scenario: button.dataset.kind, account: $('account').value, record: $('record').checked, speed: 1};
  for (const name of ['client', 'line', 'extension', 'second'])
    if ($(name).value.trim() && !button.dataset.own.split(' ').includes(name)) data[name] = $(name).value.trim();
  if ($('talk').value) data.talk_seconds = +$('talk').value;
  post('calls', data);
};
function card(title, text, note, busy) {
  const node = el('div', undefined, 'card' + (busy ? ' busy' : ''));
  node.append(el('b', title), ' ' + text, el('br'), el('small', note));
  return node;
}
function live(call) {
  const buttons = el('span', undefined, 'row');
  for (const by of ['client', 'employee']) {
    const button = el('button', T[by + '_hangs_up']);
    button.onclick = () => post('hangup', {entry_id: call.entry_id, by});
    buttons.append(button);
  }
  const legs = call.legs.map(leg => leg.location + ' ' + leg.extension + ' ' + leg.state).join(' · ');
  return row([T[call.direction], call.client || '—', legs, buttons]);
}
function finished(call) {
  return row([new Date(call.created * 1000).toLocaleTimeString(), T[call.direction], call.client || '—', call.line,
    call.extension, T[call.outcome] || call.outcome, call.talk_seconds, call.recordings.length ? T.yes : '']);
}
function show(state) {
  const chosen = $('account').value, busy = {};
  $('account').replaceChildren(...state.accounts.map(item => new Option(item.key, item.key)));
  if (chosen) $('account').value = chosen;
  const account = state.accounts.find(item => item.key === $('account').value) || state.accounts[0];
  for (const call of state.live) for (const leg of call.legs) if (leg.extension) busy[leg.extension] = leg.state;
  $('people').replaceChildren(
    ...account.employees.map(p => card(p.extension || '—', p.name, busy[p.extension] || T.free, busy[p.extension])),
    ...account.groups.map(g => card(g.extension, T.group + ' ' + g.name, g.members.join(', '))));
  $('live').replaceChildren(...(state.live.length ? state.live.map(live) : [row([T.none])]));
  $('finished').replaceChildren(...(state.finished.length ? state.finished.map(finished) : [row([T.none])]));
  $('counters').textContent = T.sent + ': ' + state.counters.sent + ' · ' + T.violations + ': '
    + state.counters.violations;
}
const load = () => fetch('/_emulator/state').then(answer => answer.json()).then(show).catch(() => {});
load();
setInterval(load, 1000);
"""


def language(query: str, accept: str) -> str:
    """`?lang=` wins, then the browser's first language that is known, then English."""
    wanted = parse_qs(query).get("lang", [""])[-1]
    known = [part.strip()[:2].lower() for part in accept.split(",")]
    return next((code for code in (wanted, *known) if code in TEXTS), "en")


def render(emu: MangoEmulator, query: str, accept: str) -> str:
    """The page; live values are filled in by the script as text nodes, never as HTML."""
    code = language(query, accept)
    t = {name: escape(text) for name, text in TEXTS[code].items()}
    account = emu.account()
    extensions = [person.extension for person in account.employees if person.extension] or ["101"]
    line = account.lines[0].number if account.lines else ""
    values = {"client": "79000000001", "line": line, "extension": extensions[0], "second": ""}
    fields = "".join(
        f'<label>{t[name]}<input id="{name}" value="{escape(value)}"></label>' for name, value in values.items()
    )
    buttons = "".join(
        f'<button data-kind="{name}" data-own="{" ".join(own)}">'
        f"{escape(NAMES_RU[name] if code == 'ru' else name.replace('_', ' '))}</button>"
        for name, (_, own) in SCENARIOS.items()
    )
    heads = ("", "direction", "client", "line", "extension", "outcome", "talk", "recording")
    head = "".join(f"<th>{t.get(name, '')}</th>" for name in heads)
    texts = json.dumps(TEXTS[code], ensure_ascii=False).replace("<", "\\u003c")
    return f"""<!doctype html><html lang="{code}"><meta charset="utf-8"><title>{t["title"]}</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style>
<div class="mark" role="note"><b>{t["title"]}.</b> {t["warning"]}</div>
<h1>{t["title"]}</h1>
<p><small id="counters"></small> <a href="/?lang={"en" if code == "ru" else "ru"}">{t["other"]}</a></p>
<h2>{t["people"]}</h2><div class="row" id="people"></div>
<h2>{t["start"]}</h2><div class="row"><label>{t["account"]}<select id="account"></select></label>{fields}
<label>{t["talk"]}<input id="talk" type="number" min="0" value="8"></label>
<label>{t["record"]}<input id="record" type="checkbox" checked></label></div>
<p class="row">{buttons}</p><p id="error" role="alert"></p>
<h2>{t["live"]}</h2><div class="scroll"><table><tbody id="live"></tbody></table></div>
<h2>{t["finished"]}</h2>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody id="finished"></tbody></table></div>
<script type="application/json" id="texts">{texts}</script><script>{SCRIPT}</script></html>"""
