"""Everyday English, as tables: question words and their kin, synonyms, polite frames. A little of other languages.

General language only: nothing here comes from a document. Patterns are regular expressions, matched as whole words
without regard to case; order matters, the longest phrase of a kind stands first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Language = Literal["en", "de", "fr", "es", "other"]

_OPENERS: Mapping[Language, str] = {
    "en": "who whom whose what when where why which how is are was were do does did can could may might must should "
    "will would has have had am tell name describe explain give list",
    "de": "wer wen wem wessen was wann wo wohin woher warum wieso weshalb welche welcher welches wie wieviel ist sind "
    "darf kann muss nenne",
    "fr": "qui que quoi quand où pourquoi comment combien quel quelle quels quelles est-ce qu'est-ce peut-on à",
    "es": "quién quiénes qué cuándo dónde adónde por cómo cuánto cuánta cuántos cuántas cuál cuáles se puedo",
}


def language_of(question: str) -> Language:
    """Tell the language of a question by its first word; ``other`` when it is none of these."""
    first = question.lstrip("¿¡ ").split(" ", 1)[0].casefold().strip(",")
    for language, words in _OPENERS.items():
        if first in words.split():
            return language
    return "en" if first.isascii() and " the " in f" {question.casefold()} " else "other"


QUESTION_WORDS = frozenset(
    "who whom whose what when where why which how wer was wann wo warum welche welcher welches wie qui que quand où "
    "pourquoi comment combien quel quelle quién qué cuándo dónde cómo cuánto cuál".split()
)

FUNCTION_WORDS = QUESTION_WORDS | frozenset(
    "a an the of to in on at by for from with about as and or if is are was were be been am do does did has have had "
    "can could may might must shall should will would it its this that these those there i you he she we they my your "
    "his her our their me them some any der die das ein eine den dem des im in zu von und ist sind le la les un une de "
    "du des à au en est sont el los las una del al es son y et se".split()
)

INTERROGATIVES: Sequence[tuple[str, Sequence[str]]] = (
    ("how much does", ("what does", "how many coins does", "what is the price if", "how expensive does")),
    ("how much is", ("what is", "what is the price of", "how expensive is")),
    ("how much", ("what amount of", "what quantity of")),
    ("how many", ("what number of", "how large a number of", "the count of", "the total number of")),
    ("how long", ("what length of time", "for how many days or hours", "how much time", "what is the duration")),
    ("how often", ("how frequently", "how many times", "at what interval", "how regularly")),
    ("how old", ("of what age", "what age")),
    ("how far", ("at what distance", "what distance")),
    ("how deep", ("what depth", "to what depth")),
    ("how (?:tall|high)", ("what height", "of what height")),
    ("how (?:big|large)", ("what size", "of what size")),
    ("how (?:do|can|should|would) (?:i|you|we|people|one)", (
        "what is the way to", "in what way can I", "what steps are needed to", "I want to know how to", "how to",
        "what must one do to", "what's the procedure to", "by what means do I",
    )),
    ("how does", ("in what way does", "by what means does", "explain how does")),
    ("how did", ("in what way did", "by what means did")),
    ("how (?:is|are)", ("in what way is", "by what method is")),
    ("who is (?:called|named)", ("which person is called", "who bears the name")),
    ("who (?:is|was)", ("which person is", "what is the name of", "give me the name of", "tell me about", "who's")),
    ("who", ("which person", "what is the name of the person who", "which one", "the person who", "by whom",
             "what person", "name the person who", "which man or woman", "whose job is it: who")),
    ("whose", ("belonging to whom is", "which person's", "of whom")),
    ("what time", ("when", "at what hour", "at which hour")),
    ("when", ("at what time", "what time", "on which day", "on what date", "at which point", "what day", "which year",
              "what is the time", "in what season or month")),
    ("where (?:do|can|should) (?:i|you|we|people)", (
        "what is the place to", "in which place can I", "which spot do I go to in order to", "I need a place to",
        "where might one",
    )),
    ("where", ("in what place", "at which location", "in which spot", "what is the location", "whereabouts",
               "at what place", "what place")),
    ("why", ("for what reason", "what is the reason", "how come", "what's the cause", "because of what",
             "for what purpose", "what explains why")),
    ("which", ("what", "which one of the", "what kind of", "which particular")),
    ("what (?:do|does) (.{3,40}) mean", ("what is the meaning of this", "explain the term", "define")),
    ("what happens (?:if|when)", ("what will happen if", "what is the result if", "what follows when",
                                  "what comes next if", "what is the consequence when")),
    ("what should i do (?:if|when)", ("what to do when", "how do I react when", "what is the right thing if",
                                      "how should I respond if")),
    ("what (?:is|are|was) the", ("tell me the", "name the", "which is the", "I'm looking for the", "give me the",
                                 "what's the", "the")),
    ("what (?:is|are) an?", ("what's a", "define", "what is meant by", "explain", "what does one call a",
                             "what is the meaning of", "describe a", "tell me about a", "what kind of thing is a")),
    ("what (?:is|are|was|were)", ("what's", "tell me about", "name", "which is", "describe")),
    ("what does", ("which thing does", "what exactly does", "tell me what does")),
    ("what", ("which", "what kind of", "which thing", "what exactly", "what sort of")),
    ("(?:can|may|could|am) i(?: allowed to)?", (
        "is it possible to", "am I allowed to", "is it permitted to", "is it okay to", "are people allowed to",
        "do they let you", "may one", "is it allowed to", "will I be able to", "are visitors permitted to",
    )),
    ("is it (?:allowed|permitted|possible|ok|okay) to", ("can I", "may I", "am I allowed to", "is one permitted to")),
    ("do i (?:need|have) to", ("must I", "is it necessary to", "am I required to", "is it required to",
                               "is it compulsory to")),
    ("must i", ("do I have to", "do I need to", "is it necessary to", "am I obliged to")),
    ("(?:do|does|did|is|are|was|were|has|have)", ("tell me whether", "is it true that", "I wonder if", "whether",
                                                 "is it the case that")),
)  # fmt: skip

_GROUPS = """
look after|take care of|care for|be in charge of|be responsible for|watch over|mind|tend
looks after|takes care of|cares for|is in charge of|is responsible for|watches over|minds|tends|keeps
in charge of|responsible for|heading|running
run|manage|operate|lead|direct
runs|manages|operates|leads|directs|is the head of|heads
leave|depart|set off|go|start out
leaves|departs|sets off|goes
arrive|come in|get there|reach it
begin|start|commence|open
begins|starts|commences|gets going
started|began|came into being|was founded
finish|end|stop|be over
ends|finishes|stops|is over
close|shut|end
closed|shut|not open
open|open up|start business|unlock its doors
cost|be the price of|go for|charge
price|cost|fee|charge|rate
costs|is the price of|charges
fee|charge|price|cost
pay|hand over|spend
paid|handed over|settled
buy|get|purchase|pick up|find
sell|offer|have for sale
sold|on sale|offered|available
find|locate|get hold of|come across|look for
get|obtain|receive|pick up
gets|obtains|receives|is given
kept|stored|put away|held
keep|store|put away|hold
stored|kept|saved|held|put
store|keep|save|put
stand|be located|be placed
located|situated|placed|found
wrote|authored|is the author of|put down in writing|penned
written|authored|put on paper
write|compose|author|note down
built|made|constructed|put up|erected
build|make|construct|put up|create
made|produced|created|manufactured
make|produce|create|prepare
makes|produces|creates|prepares
founded|established|started|set up|created
invented|thought up|came up with|devised|discovered
designed|devised|planned|drew up
discovered|found|came across
mean|stand for|signify|indicate|tell us
means|stands for|signifies|indicates|refers to
called|named|known as|termed
name|title|what it is called
use|make use of|employ|work with|apply
used|employed|made use of|needed
uses|employs|makes use of|works with
need|require|want|call for
needs|requires|calls for|takes
needed|required|necessary
required|needed|necessary|compulsory
happen|take place|occur|go on
happens|takes place|occurs|goes on
held|run|taking place|put on
repair|fix|mend|put right
repairs|fixes|mends|puts right
fix|repair|solve|put right
clean|wash|tidy|scrub
cleans|washes|tidies
cleaned|washed|tidied
change|alter|modify|switch|adjust
changed|altered|modified|switched
changes|alters|modifies
replace|swap|exchange|renew
remove|take away|take out|delete|get rid of
add|put in|include|insert
send|post|mail|pass on
bring|carry|take along|fetch
show|display|present
shows|displays|presents
help|assist|support|aid
teach|train|instruct|show how
teaches|instructs|trains|gives lessons in
learn|study|pick up|find out
live|dwell|reside|have a home
lives|dwells|resides|has a home
work|function|operate|do the job
works|functions|operates|does its job
wait|hang on|stay|hold on
stay|remain|spend time
visit|go to see|come to|drop in on
travel|go|get around|journey
enter|go in|get in|go inside
join|become a member of|sign up for|take part in
allowed|permitted|okay|let
forbidden|not allowed|banned|prohibited
check|test|verify|look at|inspect
checks|tests|verifies|inspects
report|tell someone about|announce
prevent|stop|avoid|keep from
protect|guard|shield|keep safe
break|go wrong|fail|stop working
broken|damaged|out of order|faulty
lost|missing|gone|misplaced
choose|pick|select|decide on
chosen|picked|selected
like|enjoy|be fond of|love
likes|enjoys|is fond of|loves
favourite|favorite|best loved|preferred
hate|dislike|can't stand
eat|have for a meal|feed on
eats|has for a meal|feeds on
drink|sip|have a drink of
drinks|sips|has a glass of
grow|raise|cultivate
wear|have on|dress in
say|tell|state
said|told|stated
talk|speak|chat
speak|talk|converse
want|wish|would like
try|attempt|have a go at
turn on|switch on|start|activate
turn off|switch off|stop|deactivate
set|configure|define|put
enable|turn on|activate|switch on
disable|turn off|deactivate|switch off
run|execute|launch|start
install|set up|put on the machine
save|store|keep|write out
load|read in|open|bring in
print|output|show|write out
option|flag|setting|switch|parameter
flag|option|switch|parameter
setting|option|parameter
file|document|path
folder|directory|path
default|standard|preset|normal value
error|failure|fault|problem
command|instruction|call
password|secret word|passphrase|login word
limit|maximum|cap|upper bound
maximum|highest|limit|most allowed
minimum|lowest|least|smallest
size|dimensions|how big
colour|color|shade|hue
color|colour|shade
kind|type|sort
type|kind|sort
reason|cause|explanation
rule|regulation|law
rules|regulations|laws
purpose|point|aim|goal
place|spot|location
job|work|occupation|task
boss|chief|head|leader
leader|head|chief|boss
owner|proprietor|holder
guest|visitor|customer
guests|visitors|customers
member|participant|one of them
members|participants|people who belong
children|kids|young people|little ones
child|kid|young person
animal|creature|beast
pet|animal|companion
dog|hound|canine
house|home|building
shop|store|business
town|city|place
village|settlement|hamlet
street|road|lane
room|chamber|space
garden|yard|grounds
meal|food|dish
dinner|evening meal|supper
breakfast|morning meal|first meal
lunch|midday meal|noon meal
morning|early in the day|a.m.
evening|late in the day|end of the day
night|after dark|overnight
day|date|day of the week
week|seven days|seven-day stretch
year|twelve months|four seasons
first|earliest|initial
last|final|latest|most recent
new|fresh|recent
old|ancient|aged
big|large|great
small|little|tiny
large|big|great
fast|quick|rapid|speedy
slow|unhurried|sluggish
hot|warm|heated
cold|cool|chilly
deep|far down|low down
important|essential|vital
special|particular|unusual
difficult|hard|tricky
easy|simple|effortless
dangerous|risky|unsafe|hazardous
safe|secure|without danger
best|ideal|most suitable
wrong|incorrect|mistaken
right|correct|proper
ready|done|finished|prepared
before|ahead of|prior to
during|in the course of|while in
near|close to|next to|by
inside|within|in
without|lacking|with no
per|for each|for one
each|every|per
every|each|any
usually|normally|as a rule
always|at all times|every time
person|individual|man or woman
people|folks|persons
money|cash|funds
ticket|pass|entry card
book|reserve|arrange
contact|reach|get in touch with|write to
call|phone|ring
cancel|call off|undo
return|give back|bring back
borrow|take out|lend
carry|take|bring
measure|gauge|determine
weigh|be heavy|bring to the scales
contain|include|hold
contains|includes|holds|has in it
consist of|be made of|contain
made of|built from|composed of|consisting of
made from|produced from|prepared with
famous|known|renowned|well known
known|famous|remembered
born|brought into the world|come into the world
die|pass away|lose their life
music|songs|tunes
play|perform|put on
"""


def _table(groups: str) -> dict[str, tuple[str, ...]]:
    """Read ``word|synonym|synonym`` lines; the longest phrases first, so that "look after" wins over "look"."""
    table: dict[str, tuple[str, ...]] = {}
    for line in groups.strip().split("\n"):
        first, *others = line.split("|")
        table[first] = (*table.get(first, ()), *others)
    return dict(sorted(table.items(), key=lambda row: -len(row[0])))


SYNONYMS = _table(_GROUPS)

FRAMES: Mapping[str, Sequence[str]] = {
    "en": (
        "Can you tell me {}",
        "Could you tell me {}",
        "Please tell me {}",
        "Do you know {}",
        "Do you happen to know {}",
        "I was wondering {}",
        "I'd like to find out {}",
        "I need to know {}",
        "I want to know {}",
        "Any idea {}",
        "Quick question: {}",
        "Question: {}",
        "Hi, {}",
        "Hello! {}",
        "hey {}",
        "Tell me, {}",
        "Remind me {}",
        "I forgot {}",
        "Someone asked me {}",
        "Let me ask: {}",
        "So {}",
        "What I want to ask is {}",
        "Help me out: {}",
        "{} please",
        "{} again",
        "{} exactly",
        "{} - do you know",
        "{} Thanks!",
        "I'm curious {}",
        "not sure {}",
        "ok and {}",
    ),
    "de": ("Kannst du mir sagen, {}", "Weißt du, {}", "Sag mir bitte: {}", "Eine Frage: {}", "Ich wüsste gern, {}",
           "Hallo, {}", "{}, bitte"),
    "fr": ("Peux-tu me dire {}", "Sais-tu {}", "Dis-moi : {}", "Une question : {}", "Je voudrais savoir {}",
           "Bonjour, {}", "{} s'il te plaît"),
    "es": ("¿Puedes decirme {}", "¿Sabes {}", "Dime: {}", "Una pregunta: {}", "Quisiera saber {}", "Hola, {}",
           "{} por favor"),
    "other": ("{}", "? {}"),
}  # fmt: skip

EXAM_FRAMES: Mapping[str, str] = {
    "en": "I would like to know: {}. Can you help?",
    "de": "Ich möchte gern wissen: {}. Hilfst du mir?",
    "fr": "J'aimerais savoir : {}. Peux-tu m'aider ?",
    "es": "Me gustaría saber: {}. ¿Me ayudas?",
    "other": "… {} …",
}
"""Requests that only the exam makes."""
