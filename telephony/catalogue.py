"""The catalogue of PBX brands, searched as people type: by name, by another spelling, by country."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext_lazy

from .providers import registry
from .providers.base import Brand

COUNTRIES = {
    "AM": gettext_lazy("Armenia"),
    "AZ": gettext_lazy("Azerbaijan"),
    "BY": gettext_lazy("Belarus"),
    "GE": gettext_lazy("Georgia"),
    "KG": gettext_lazy("Kyrgyzstan"),
    "KZ": gettext_lazy("Kazakhstan"),
    "MD": gettext_lazy("Moldova"),
    "RU": gettext_lazy("Russia"),
    "TJ": gettext_lazy("Tajikistan"),
    "UA": gettext_lazy("Ukraine"),
    "UZ": gettext_lazy("Uzbekistan"),
}
"""By the codes that brands have (ISO 3166); one that is not here is shown as its code."""
_ALIKE = str.maketrans({"ı": "i", "ё": "е", "ў": "у"})


@dataclass(frozen=True, slots=True)
class Found:
    brand: Brand
    countries: list[str]


def search(asked: str) -> list[Found]:
    """Brands with all the words of `asked` in their names or countries; all of them for an empty one."""
    wanted = [folded(word) for word in asked.split()]
    return [
        Found(brand, [str(COUNTRIES.get(code, code)) for code in brand.countries])
        for _provider, brand in registry.brands()
        if all(any(word in name for name in _names(brand)) for word in wanted)
    ]


def for_any() -> list[Brand]:
    """By what a PBX can be connected that is in no list: protocols that it can be taught."""
    return [provider.brands[0] for provider in registry.all_providers().values() if provider.self_test]


def folded(text: str) -> str:
    """What is left of a name when capitals, accents, blanks and signs do not count."""
    plain = unicodedata.normalize("NFKD", text.translate(_ALIKE)).casefold().translate(_ALIKE)
    return "".join(filter(str.isalnum, plain))


def _names(brand: Brand) -> Iterator[str]:
    """Everything that a brand is called by, countries in every language of ours."""
    yield from map(folded, (brand.title, brand.slug, *brand.aliases, *brand.countries))
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            yield from (folded(str(COUNTRIES[code])) for code in brand.countries if code in COUNTRIES)
