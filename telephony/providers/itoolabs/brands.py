"""Who sells this PBX under which name.

A zone is the end of the host of every customer's PBX: he puts its name before it. Operators without one tell the whole
address in their cabinet.
Source: hosts in public clients and the operators' own pages; that the others belong here is told by a CRM's set-up
pages, which are one page for all of them.
"""

from __future__ import annotations

from telephony.providers.base import Brand


def _brand(slug: str, title: str, country: str, *aliases: str, zone: str = "") -> Brand:
    return Brand(
        slug,
        title,
        countries=(country,) if country else (),
        aliases=aliases,
        defaults={"domain": f".{zone}"} if zone else {},
    )


BRANDS = (
    _brand("itoolabs", "iTooLabs Communications Server", "", "iToolabs", "ITooLabs Centrex", "АйТулабс"),
    _brand(
        "megafon-vats",
        "МегаФон ВАТС",
        "RU",
        "MegaFon VATS",
        "MegaFon Virtual PBX",
        "Мегафон Виртуальная АТС",
        "ВАТС Мегафон",
        "vats.megafon.ru",
        "megapbx.ru",
        zone="megapbx.ru",
    ),
    _brand("kcell", "Kcell", "KZ", "Кселл", "KCell Мобильный офис", "Activ", "Актив", zone="vpbx.kcell.kz"),
    _brand("moldcell", "Moldcell", "MD", "Молдселл", "Молдсел", zone="pbx.moldcell.md"),
    _brand("viva-am", "VIVA", "AM", "Viva Armenia", "Viva-MTS", "VivaCell", "Вива", "Վիվա", zone="pbx.viva.am"),
    _brand("freedom-telecom", "Freedom Telecom", "KZ", "Фридом Телеком", "ftel.kz"),
    _brand("sarkor", "Sarkor Telecom", "UZ", "Саркор Телеком", "sip.uz", zone="sip.uz"),
    _brand(
        "beeline-kg",
        "Beeline Кыргызстан",
        "KG",
        "Beeline Kyrgyzstan",
        "Билайн Кыргызстан",
        "Билайн Киргизия",
        zone="ats.beeline.kg",
    ),
    _brand("birlink", "BİRLink", "AZ", "BIRLink", "Birlink", "Бирлинк"),
    _brand("vectortel", "ВекторТел", "RU", "VectorTel", "Вектор Тел", "Вектортел"),
    _brand("transtelecom-kz", "Транстелеком", "KZ", "Transtelecom", "ТТС", "ttc.kz", "Транстелеком Казахстан"),
    _brand("ttk", "ТТК", "RU", "TTK", "ТрансТелеКом", "Компания ТрансТелеКом", "TransTeleCom"),
    _brand("mgts", "МГТС", "RU", "MGTS", "vats.mgts.ru"),
    _brand("enforta", "Энфорта", "RU", "Enforta"),
    _brand("domru-business", "Дом.ру Бизнес", "RU", "Dom.ru Business", "Домру", "Дом ру"),
    _brand("netbynet", "NETBYNET", "RU", "Нэтбайнет", "НЕТБАЙНЕТ", "Net By Net"),
    _brand("rinet", "RiNet", "RU", "Ринет"),
    _brand("virgin-connect", "Virgin Connect", "RU", "Вирджин Коннект"),
    _brand("avantel", "Авантел", "RU", "Avantel"),
    _brand("westcall", "ВестКолл", "RU", "WestCall", "Весткол"),
    _brand("westcall-spb", "ВестКолл СПб", "RU", "WestCall SPb", "ВестКолл Санкт-Петербург"),
    _brand("gars-telecom", "Гарс Телеком", "RU", "Gars Telecom", "ГАРС"),
    _brand("naukanet", "Наука-Связь", "RU", "Nauka-Svyaz", "Наука Связь", "Naukanet"),
    _brand("sibset", "Сибирские сети", "RU", "Sibirskie Seti", "Сибсети", "sibset.ru"),
    _brand("electronic-city", "Электронный город", "RU", "Electronic City", "Elektronny Gorod"),
    _brand("delovaya-set", "Деловая Сеть - Иркутск", "RU", "Delovaya Set", "Деловая сеть"),
    _brand("easytel", "Easytel", "", "Изител"),
    _brand("techforyou", "TechForYou", "", "Tech For You"),
    _brand("altegro", "Altegro", "", "Альтегро"),
    _brand("telroi", "Telroi", "", "Telroi CPBX", "Digitide", "Digitide CPBX", "Телрой", zone="telroi.com"),
    _brand("salvador", "Salvador", "RU", "Сальвадор"),
)
