"""The words that count as units of an answer: measures, money, and what questions let people count."""

from __future__ import annotations

# The name of a unit and after it every other word for it; a plural with s needs no word of its own.
_WITH_OTHER_WORDS = """
millimetre millimeter mm; centimetre centimeter cm; decimetre decimeter dm; metre meter m; kilometre kilometer km
kms; inch inches in; foot feet ft; yard yd; mile mi; lightyear lightyears ly; gram g gramme; milligram mg; kilogram
kg kilo kgs; tonne ton t tons; pound lb lbs; ounce oz; litre liter l; millilitre milliliter ml; gallon gal; quart
qt; pint pt; second s sec secs; millisecond ms; minute min mins; hour h hr hrs; week wk; year yr yrs; century
centuries; dollar usd bucks buck; euro eur; pence penny pennies; yuan rmb cny; yen jpy; rupee inr rs; degree deg;
radian rad; kmh kph; calorie cal; kilocalorie kcal; kilowatt kw; pascal pa; hertz hz; mole mol; kilobyte kb;
megabyte mb; gigabyte gb; person people persons; man men; woman women; child children; student pupil; employee
worker; edge vertex vertices; possibility possibilities; match matches; box boxes; glass glasses; tablespoon tbsp;
teaspoon tsp; candy candies; bus buses; dress dresses; tomato tomatoes; potato potatoes; berry berries; puppy
puppies; goose geese; mouse mice; calf calves; loaf loaves; leaf leaves; knife knives
"""
_ALONE = """
day month decade cent peso franc coin celsius fahrenheit kelvin mph joule watt volt newton bit byte unit time way
boy girl guest customer player member point side face integer number solution root value digit element term factor
divisor pair triple set tuple permutation combination arrangement outcome function polynomial sequence triangle
square rectangle circle cube line angle graph path step move game round turn trip lap page book word letter question
problem answer item object piece part slice bag basket bottle cup can jar apple orange banana egg cookie cake pizza
card ball marble toy stamp ticket flower tree plant animal dog cat cow fish bird car house room seat table chair row
column cell tile brick block kwh ohm shirt shoe hat sock hole bead kitten sheep foot-pound
"""
UNIT_OF: dict[str, str] = {name: name for name in _ALONE.split()}
"""The name of the unit that a word (lower case, singular) means."""
for _unit in _WITH_OTHER_WORDS.split(";"):
    for _word in _unit.split():
        UNIT_OF[_word] = _unit.split()[0]

IN_BASE_UNITS: dict[str, tuple[str, str, int]] = {
    "millimetre": ("1/1000", "metre", 1), "centimetre": ("1/100", "metre", 1), "decimetre": ("1/10", "metre", 1),
    "metre": ("1", "metre", 1), "kilometre": ("1000", "metre", 1), "inch": ("0.0254", "metre", 1),
    "foot": ("0.3048", "metre", 1), "yard": ("0.9144", "metre", 1), "mile": ("1609.344", "metre", 1),
    "litre": ("1/1000", "metre", 3), "millilitre": ("1/1000000", "metre", 3),
    "millisecond": ("1/1000", "second", 1), "second": ("1", "second", 1), "minute": ("60", "second", 1),
    "hour": ("3600", "second", 1), "day": ("86400", "second", 1), "week": ("604800", "second", 1),
    "year": ("1", "year", 1), "decade": ("10", "year", 1), "century": ("100", "year", 1),
    "milligram": ("1/1000", "gram", 1), "gram": ("1", "gram", 1), "kilogram": ("1000", "gram", 1),
    "tonne": ("1000000", "gram", 1), "cent": ("1/100", "dollar", 1), "dollar": ("1", "dollar", 1),
    "quart": ("1/4", "gallon", 1), "pint": ("1/8", "gallon", 1), "gallon": ("1", "gallon", 1),
}  # fmt: skip
"""How much of which unit each of them is, and to which power; what has no fixed measure (a month) is not here."""
