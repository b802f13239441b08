"""The tokens there are: every byte, common words, and short groups of letters and digits.

A token's id is its place in `TOKENS`. Ids stand in recorded transcripts: append, never reorder.
"""

from collections.abc import Iterator
from itertools import product
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

WORDS = tuple(
    """
    the of and to in is that for it as was with be by on not he his but at are this have
    from or had an they which one you were all her she there would their we him been has
    when who will no more if out so up said what its about than into them can only other
    time new some could these two may first then do any like my now over such our man me
    even most made after also did many off before must well back through years where much
    your way down should because long each just state those people too mr how little good
    world make very year still see own work men day get here old life both between being
    under three never know same last another while us might great go come since against
    right came take used himself few house use place during high without again home around
    small however found part school every water public think left set hand end night head
    almost power general system something always question city young course look thought
    second number line better large order next field group program present side possible
    often want several social felt business given among enough early give rather kind love
    best name point within form face change keep until others office door eyes things light
    case human local area less hold read book word write story page letter paper answer
    reason idea fact true plain simple clear short full open close near far deep wide cold
    warm dark bright green blue white black red gold silver stone iron glass wood tree leaf
    river sea lake hill road bridge tower wall roof floor window garden flower grass seed
    fruit bread salt sugar milk honey meat fish bird horse dog cat sheep wolf bear lion
    snake morning evening winter summer spring autumn wind rain snow storm cloud sun moon
    star sky earth fire smoke ash dust sand clay metal engine wheel train ship boat plane
    car street market shop money price trade cost value table chair bed lamp clock bell song
    music dance play game voice sound silence speak listen hear watch wait walk run ride
    drive climb swim sleep dream wake rise fall grow build break carry bring send leave stay
    meet follow lead help teach learn study begin start stop finish try fail win lose find
    search seek ask tell explain show hide cover count measure weigh compare choose decide
    plan draw paint cut join bind turn move push pull lift drop throw catch fill empty wash
    clean dry cook eat drink pour mix serve share buy sell pay owe save spend earn law court
    judge king queen lord nation army war peace north south east west center middle edge
    corner top bottom front inside outside above below across along toward behind beside
    beyond model token request server stream batch cache memory block step queue signal
    result input output data text key record file list node path route gate
    """.split()  # noqa: SIM905 - quoted one by one the words would fill five hundred lines
)
"""Each is one token in each of four forms (`word_token`); generated text is made of them."""

FIRST_WORD = 256
FORMS = 4


def word_token(word: int, *, capital: bool, spaced: bool) -> int:
    """Return the token of ``WORDS[word]``, capitalised and after a space as asked for."""
    return FIRST_WORD + word * FORMS + 2 * capital + spaced


def _forms(word: str) -> tuple[str, ...]:
    return word, f" {word}", word.capitalize(), f" {word.capitalize()}"


def _groups(letters: str, length: int) -> Iterator[str]:
    return ("".join(group) for group in product(letters, repeat=length))


def _spell() -> Iterator[bytes]:
    yield from (bytes((value,)) for value in range(256))
    for word in WORDS:
        yield from (form.encode() for form in _forms(word))
    for length in (3, 2):
        for group in _groups(ascii_lowercase, length):
            yield group.encode()
            yield f" {group}".encode()
        yield from (group.encode() for group in _groups(digits, length))
    yield from (f" {letter}".encode() for letter in ascii_letters)
    yield from (group.encode() for group in _groups(ascii_uppercase, 2))
    yield from (b" " * length for length in range(2, 17))
    yield from (b"\n" * length for length in range(2, 5))


TOKENS: tuple[bytes, ...] = tuple(dict.fromkeys(_spell()))
"""The bytes of each token; no two are equal."""

IDS: dict[bytes, int] = {spelling: token for token, spelling in enumerate(TOKENS)}
