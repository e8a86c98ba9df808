"""The vocabulary of the world: syllables and words that names and values are put together from.

Each kind of value has an inventory of its own, as real names do (rivers do not sound like
festivals). Values are one to three words of one or two syllables, so a tokenizer spells them in a
few sub-words and no value is a single token that a small model would have to know by heart.
"""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TOWN_HEADS = words(
    "Ald Ash Bar Beck Bex Birch Black Blen Brack Bram Bright Brook Bur Cal Car Chel Clay Cob Col "
    "Cop Cran Crow Dal Dar Dun East Eden Elm Ever Fair Far Fen Fern Fox Gar Glen Gol Green Had Ham "
    "Hart Haz Hol Horn Ivy Kel Ken Lang Lark Lin Mar Mel Mill Nor Oak Old Otter Pen Pine Quill Red "
    "Rock Rose Rush Sal Sand Sel Stan Stone Swan Thorn Wald Wey Whit Wil Win Wood Yar"
)
TOWN_TAILS = words(
    "moor ford ton bury wick ham field bridge gate well stead worth combe dale cliff mouth haven "
    "holm hurst ley mere minster ness port shaw thorpe water wold stow cross barrow marsh beach "
    "grove"
)
RIVER_HEADS = words(
    "Tarv Weld Esk Dov Corr Bruv Glim Isk Jorv Kest Lurr Nidd Orm Pell Rasp Sev Tev Ulm Vind Yarr "
    "Zorn Avel Ebb Fenn"
)
RIVER_TAILS = words("a en el in o ur is ander ane ick orn une")
FIRST_NAMES = words(
    "Ada Albert Alice Anna Bella Bruno Clara Daniel Dora Edgar Emma Erik Felix Flora Frank "
    "George Greta Henry Hugo Ilsa Jane Jonas Kate Laura Leo Lucy Martin Mary Max Nina Oscar "
    "Paul Peter Rosa Simon Victor"
)
SURNAME_HEADS = words(
    "Berg Bloom Dietz Engel Fisch Gold Gross Hoff Jung Kauf Klein Kraus Lind Metz Nord Roth "
    "Schmid Stein Stern Vogel Wein Winkel Zell Zimmer"
)
SURNAME_TAILS = words("mann er ler sen berg ski ich feld haus hardt inger auer ling quist lund by")
GOODS_KINDS = words(
    "smoked dried salted roasted woven painted carved pickled polished printed glazed knitted "
    "candied bottled waxed dyed"
)
GOODS = words(
    "eels wool apples glass cheese leather plums copper ribbons barley candles baskets carpets "
    "honey ropes buttons walnuts paper pottery linen"
)
MONTHS = words(
    "January February March April May June July August September October November December"
)
FESTIVAL_THINGS = words(
    "Lantern Kite Drum Harvest Mask Candle Boat Ribbon Bonfire Flower Puppet Feather Song "
    "Barrel Pumpkin Bell"
)
FESTIVAL_KINDS = words("Fair Feast Parade Games Dance Week Night Race")
LANDMARK_KINDS = words(
    "Crooked Leaning Ruined Marble Wooden Hidden Broken Twin Royal Frozen Sunken Ancient Hollow "
    "Golden Iron Mossy"
)
LANDMARKS = words(
    "Tower Castle Abbey Windmill Lighthouse Fountain Statue Temple Chapel Palace Gallery Arch "
    "Fortress Monument Cathedral Library"
)
SCHOOL_HEADS = words(
    "Pel Dray Wick Tor Hux Lock Man Bax Chat Fal Gib Hob Kip Lud Mor Nash Pick Rad Trem York"
)
SCHOOL_TAILS = words("bert ley ster gan nell ridge man dock vey cott wyn low dell sby rick mond")
SCHOOL_KINDS = words("School Academy College Institute")
FERRY_KINDS = words(
    "Grey Blue Silver Scarlet Brave Swift Quiet Merry Lucky Proud Gentle Wild Bold Happy White "
    "Purple"
)
FERRIES = words(
    "Heron Dolphin Seal Pelican Turtle Goose Salmon Gull Beaver Whale Duck Crab Penguin Puffin "
    "Walrus Trout"
)
