"""What the demonstration says to the newcomer, in Russian and English."""

from __future__ import annotations

import os

WORDS = {
    "starting": ("Starting (the first time takes a little longer) …", "Запускаюсь (в первый раз чуть дольше) …"),
    "running already": (
        "The demonstration runs already: stop the other one first (Ctrl-C in its window).",
        "Демонстрация уже запущена: сначала остановите ту (Ctrl-C в её окне).",
    ),
    "failed": ("“{what}” did not succeed. What it said:", "Не удалось: «{what}». Что было сказано:"),
    "not ready": ("{name} did not become ready within {seconds} s.", "{name}: нет готовности за {seconds} с."),
    "died": (
        "{name} has ended by itself (code {code}), so everything is stopped. The end of {log}:",
        "{name}: процесс завершился сам (код {code}), останавливаю всё. Конец {log}:",
    ),
    "fresh": ("`make run-fresh` begins anew.", "`make run-fresh` начинает заново."),
    "stopping": ("Stopping …", "Останавливаюсь …"),
    "stopped": ("Stopped.", "Остановлено."),
    "migrate": ("preparing the database", "подготовка базы данных"),
    "provision": ("setting up the demo company", "создание демонстрационной компании"),
    "inside": ("setting up the CRM and the support desk", "настройка CRM и рабочего места поддержки"),
    "server": ("Callbridge", "Callbridge"),
    "bitrix24": ("Bitrix24 emulator", "Эмулятор Битрикс24"),
    "mango": ("Mango emulator", "Эмулятор Манго"),
}

READY = {
    "en": """
Callbridge runs. Calls come in by themselves, one about every ten seconds.

  The customer's portal   {portal}
      sign in as          {owner}   password {owner_password}
      or as an operator   {operator}   password {operator_password}
  The PBX (Mango)         {mango}
      who rings now; start calls of your own
  The CRM (Bitrix24)      {bitrix24}
      cards pop up there, calls and recordings stay there; click a number to call
  The support desk        {support}
      sign in as          {support_user}   password {support_password}

Logs and data: {data}. Ctrl-C stops everything; `make run` goes on from there, `make run-fresh` begins anew.
""",
    "ru": """
Callbridge работает. Звонки поступают сами, примерно раз в десять секунд.

  Кабинет клиента         {portal}
      вход                {owner}   пароль {owner_password}
      или как оператор    {operator}   пароль {operator_password}
  АТС (Манго)             {mango}
      кто сейчас звонит; там же можно начать свой звонок
  CRM (Битрикс24)         {bitrix24}
      там всплывают карточки и остаются звонки с записями; нажмите на номер, чтобы позвонить
  Рабочее место поддержки {support}
      вход                {support_user}   пароль {support_password}

Журналы и данные: {data}. Ctrl-C останавливает всё; `make run` продолжит с этого места, `make run-fresh` начнёт заново.
""",
}


def language() -> str:
    """`ru` or `en`, by the terminal's locale."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "ru" if value.lower().startswith("ru") else "en"
    return "en"


def say(key: str, **values: object) -> str:
    return WORDS[key][language() == "ru"].format(**values)


def ready(**values: object) -> str:
    return READY[language()].format(**values)
