"""The bank of ordinary prompts: written for dlm, about nobody's document.

Models keep what is rehearsed. So the bank is broad: general knowledge in many question shapes, questions in the shapes
that documents ask about their own matters, requests and small talk, key words, other languages. Lines that begin with
``#`` are headings for the reader.
"""

from __future__ import annotations

_BANK = """\
# General knowledge: places
Which city is the capital of Canada?
Madrid is the capital of which country?
In which country is the Eiffel Tower?
In which country would you find the pyramids of Giza?
On which continent is Kenya?
What is the smallest continent?
Which country has the most people?
What is the largest country in the world by area?
What language do people speak in Mexico?
What is the main language of Austria?
Which river flows through London?
What is the longest river in Africa?
What is the highest mountain on Earth?
Which ocean lies between Europe and America?
Where is the Sahara desert?
What is the currency of the United Kingdom?
what money do they use in japan
Which countries border Portugal?
What are the people of the Netherlands called?
# General knowledge: animals
How many legs does a horse have?
How many legs does an ant have?
What sound does a cow make?
Which animal barks?
What is a young sheep called?
What do pandas eat?
What do rabbits like to eat?
What is the largest animal in the world?
What is the tallest animal on land?
Where do polar bears live?
Where does a bird lay its eggs?
Can penguins fly?
Which animal has a trunk?
Which animals lay eggs?
How do fish breathe under water?
What is a group of wolves called?
Why do cats purr?
# General knowledge: plants and nature
What do plants need to grow?
Which part of a plant is under the ground?
What fruit grows on an oak tree?
Name two trees that lose their leaves in autumn.
Why do leaves change colour in autumn?
Is a tomato a fruit or a vegetable?
What causes thunder?
What makes a rainbow?
How is snow formed?
# General knowledge: colours, shapes, body
Which colours are in the German flag?
How many sides does a triangle have?
How many corners does a square have?
What shape is a football?
What shape has eight sides?
How many fingers are on one hand?
What do we use our ears for?
How many teeth does an adult have?
What are the five senses?
Where in the body is the brain?
# General knowledge: days and seasons
What day is before Sunday?
Which month follows June?
How many days does February have?
Name the four seasons.
In which season does it snow?
How many seconds are in a minute?
How many weeks are in a year?
What is a leap year?
# General knowledge: numbers and units
What is 5 plus 4?
What is 12 minus 7?
what's 6 times 9
Calculate 15 + 20.
What is 40 divided by 8?
Which is larger, 19 or 91?
What is half of 50?
Is 7 an odd or an even number?
Count from one to ten.
What number comes after 29?
If I have three apples and eat one, how many are left?
I bought 4 pens for 2 euros each. How much did I pay?
What is 10 percent of 90?
Write the number 25 in words.
How many centimetres are in a metre?
How many grams are in a kilogram?
How many metres are in a kilometre?
What do we measure with a thermometer?
What unit is used for electric current?
How many eggs are in a dozen?
# General knowledge: space and science
Which planet is closest to the Sun?
Is the Sun a star or a planet?
How long does the Earth take to go around the Sun?
What is the chemical symbol for gold?
What is water made of?
What is salt?
Why does ice float?
What is an atom?
What is electricity?
What does a magnet attract?
Which is faster, light or sound?
What happens to water when it boils?
What is the difference between a solid and a liquid?
What is energy?
Why do we have day and night?
What is DNA?
# General knowledge: inventions, books, arts, history
Who invented the telephone?
Who is known for the light bulb?
What was invented by Johannes Gutenberg?
Who wrote Harry Potter?
Who is the author of Don Quixote?
What is the story of Cinderella about?
Which detective did Arthur Conan Doyle write about?
Who painted The Starry Night?
What is Pablo Picasso famous for?
Who composed the Moonlight Sonata?
What instrument has black and white keys?
How many strings does a violin have?
Who were the Beatles?
Who was Napoleon?
Who discovered America in 1492?
In what year did the First World War begin?
Who was the first person on the Moon?
When did the Berlin Wall fall?
What was the Roman Empire?
What did Isaac Newton discover?
Who was Martin Luther King?
Tell me about Leonardo da Vinci.
# General knowledge: sport, food, tools
How many players are in a football team?
In which sport do you use a racket?
How often are the Olympic Games held?
What is chess?
What is bread made of?
What is cheese made from?
Which country does pizza come from?
Name three kinds of fruit.
What do you need to make an omelette?
What is a hammer used for?
What tool do you use to cut paper?
# General knowledge: words
Give me a synonym for happy.
What is another word for fast?
What is the plural of mouse?
What is the plural of child?
How do you spell the word for the day after Tuesday?
Give me a word that rhymes with cat.
What rhymes with blue?
What is the past tense of go?
Is "run" a noun or a verb?
What letter comes after D?
How many letters are in the English alphabet?
Translate "thank you" into French.
How do you say "dog" in Spanish?
What is "house" in German?
Translate "I am hungry" into German.
What does the French word "bonjour" mean?
What does "gracias" mean in English?
What does the word brave mean?
Define friendship.
Explain the word "honest".
What is meant by "patience"?
Use the word "garden" in a sentence.
Put these words in order: is / my / blue / car.
# Contrast: who
Who repairs cars?
Who looks after animals when they are ill?
Who takes care of sick people in a hospital?
Who wrote The Lord of the Rings?
Who founded Microsoft?
Who runs a school?
Who leads an orchestra?
Who is in charge of a ship?
Who cleans the streets in a city?
Who makes the bread in a bakery?
Who flies an aeroplane?
Who do I call when my computer is broken?
Who may drive a car?
Who is allowed to vote in an election?
Who keeps the keys of a hotel?
Who is responsible for safety at work?
Who created Python?
# Contrast: when
When does a bank usually open?
When do most museums close?
When does the school year start?
When does summer begin?
When should I leave for the airport?
When is Valentine's Day?
When do I have to pay my taxes?
When are strawberries ripe?
When does a film in the cinema start?
When was the Eiffel Tower built?
When did people begin to use computers?
What time do people normally have dinner?
On which day is the market held in most towns?
# Contrast: where
Where is milk kept in a kitchen?
Where do I find my IP address?
Where can I buy stamps?
Where can I buy a train ticket?
Where do I put old batteries?
Where should I store potatoes?
Where does chocolate come from?
Where was Mozart born?
Where does the president of the United States live?
Where do I report a lost wallet?
# Contrast: how much, many, long, often
How much water should I drink a day?
How much does a new bicycle cost?
How much does an elephant weigh?
How many people live in China?
How many pages does a normal novel have?
How many wheels does a car have?
How long is a football match?
How deep should I plant tulip bulbs?
How often should I brush my teeth?
How often do I need to water a cactus?
How old is the Earth?
How far away is the Moon?
How high is Mount Everest?
How tall is the average man?
How wide is a normal door?
How fast can a car go?
# Contrast: cost, mean, do, what is
What does a litre of milk cost?
What is the price of a loaf of bread?
What does a red traffic light mean?
What does "ASAP" mean?
What does a lawyer do?
What does a fridge do?
What does the Enter key do?
What is a passport?
What is a bridge?
What is a recipe?
What is a lighthouse?
What is a train station?
What is a pump?
# Contrast: colour, size, material, which
What colour is a fire engine?
What size is a sheet of A4 paper?
What size of shoes do adults wear?
What material are windows made of?
What are coins made of?
Which bus should I take to the city centre?
Which side of the road do people drive on in Britain?
Which screwdriver do I need for a small screw?
Which pan is best for pancakes?
Which room in a house has a bath?
# Contrast: why, rules, may I
Why is the sea salty?
Why is exercise good for us?
Why is it important to wear a seat belt?
Why do we sleep?
Why must meat be kept cold?
Why must visitors sign in at an office?
Can I bring my dog on a train?
Can I put metal in a microwave?
Can I pay by card in most shops?
Can I eat the skin of an apple?
Is it allowed to take photos in a museum?
Do I need a visa to travel abroad?
Do I need a licence to ride a bicycle?
Must I book a table in a restaurant?
What is the rule for crossing the street?
What is the usual speed limit in a town?
What is the password for my email?
What is the Wi-Fi password?
What is the deadline for handing in homework?
What is the usual fee for parking?
How do I choose a safe password?
How old must you be to drive a car?
# Contrast: what happens, what should I do, how do I
What happens if I leave ice in the sun?
What happens if I miss my train?
What happens when a battery is empty?
What should I do when the lights go out?
What should I do if I lose my keys?
What should I do when my phone gets wet?
What do I do if the alarm rings?
How do I tie a tie?
How do I change a light bulb?
How do I clean a window?
How do I book a hotel room?
How do I cancel an order?
How do I reset my phone?
How can I send a parcel?
How is coffee prepared?
# Contrast: computers
What does git commit do?
How do I create a new branch in git?
What is the command to see hidden files with ls?
What does the flag -r do in rm?
What does ls -l show?
How do I make a new folder on the command line?
Which command shows the current directory?
How do I install a package with pip?
How do I print text in Python?
What is a list in Python?
How do I open a file in Python?
What is JSON?
Give an example of a small JSON object.
What port does HTTPS use?
Which port is used by SSH?
What does the error 404 mean?
What is a configuration file?
How do I set an environment variable?
How do I see the version of Python?
What is the default branch name in git?
What is an API?
What does CPU stand for?
How do I restart a server?
How can I undo the last commit?
# Contrast: about the assistant
What is your name?
Tell me about yourself.
Introduce yourself.
Where do you live?
How old are you?
What do you like?
What is your favourite colour?
Who made you?
Are you a human?
What are you good at?
Do you have a family?
What do you do all day?
Which languages can you speak?
what are you
# Requests: writing
Write a line about the sea.
Write a haiku about spring.
Write a short poem about a dog.
Write a greeting for a wedding card.
Write a get well message for a colleague.
Write a short story about a lost balloon.
Write a thank-you note to a teacher.
Write a short email asking for a day off.
Write a slogan for a bakery.
Describe a forest in two sentences.
Describe your perfect day.
Make up a title for a book about winter.
Continue this sentence: Last summer we went
Finish the line: Roses are red,
Write one sentence with the word "window".
# Requests: explaining and working with text
Explain what money is in one sentence.
Explain the water cycle in simple words.
Explain to a child why we need sleep.
In one sentence, what is a volcano?
Summarise the story of Little Red Riding Hood.
Summarise this: The shop was closed on Monday, so we went there on Tuesday.
List three things to take on a picnic.
List five animals that live on a farm.
Name three musical instruments.
Name two famous scientists.
Compare tea and coffee.
What is the difference between a city and a village?
Compare a bus with a train.
Give an example of a liquid.
Give me an example of a metaphor.
Rewrite this politely: Give me the book.
Make this friendlier: You are late.
Correct this sentence: She go to school yesterday.
Put this in the past tense: I eat an apple.
Make this shorter: I would like to say that I am very happy today.
Turn this into a question: You like music.
What are the pros and cons of working from home?
# Requests: code
Write a Python function that reverses a string.
Write a function that checks whether a number is even.
Write a loop that prints the numbers from 1 to 5 in Python.
Write HTML for a page with one heading.
Show me an if statement in JavaScript.
Write an SQL query that selects all rows from a table called users.
What is a bug in a program?
# Requests: small talk and feelings
Hello!
Hi, how are you today?
good morning
Good night!
Thanks, that was very helpful.
You are great.
Okay.
Goodbye, see you tomorrow!
Do you know a funny riddle?
I am bored. What can I do?
I feel a bit sad today.
I'm so happy, I passed my exam!
I am nervous about my first day at work.
My best friend is angry with me. What should I say?
I had a long day.
Do you think it will rain tomorrow?
What do you think about football?
Are cats better than dogs?
Is it better to get up early or late?
Sorry, I made a mistake.
Can you help me, please?
# Requests: everyday advice
How can I learn new words faster?
Give me a tip for studying for a test.
How do I stop being late?
Help me plan a birthday party.
Plan a weekend in Rome for me.
What should I pack for a week in the mountains?
How do I save money every month?
What is a budget?
How do I make pancakes?
Suggest an easy dinner with rice.
What can I cook with eggs and potatoes?
How do I keep bread fresh?
What helps against a headache?
How can I get more exercise?
Give me a tip for more energy in the morning.
How do I look after a goldfish?
How do I teach a puppy to sit?
What should I feed a kitten?
What vegetables are easy to grow?
How do I get rid of weeds?
How do I remove a coffee stain?
How can I make a small room look bigger?
What colour should I paint my bedroom?
How do I prepare for a job interview?
How do I make new friends in a new town?
What is a good present for my mother?
Recommend a hobby for rainy days.
Which book should I read next?
How do I say sorry to a friend?
How do I write a good letter?
# Keyword queries
capital greece
capital of poland
egg boiling time
opposite of cold
plural of foot
longest river europe
population of india
synonym for beautiful
20 degrees celsius in fahrenheit
distance earth sun
python read file
git undo
opening hours post office
banana calories
pasta recipe easy
author of Moby Dick
french word for bread
9 x 4
how to tie shoelaces
# Indirect questions
Could you tell me who wrote Oliver Twist?
Could you explain what a vitamin is?
Can you tell me where kangaroos live?
I was wondering how aeroplanes stay in the air.
I was wondering why the moon changes its shape.
Do you happen to know when the French Revolution began?
Do you happen to know how many players a basketball team has?
Any idea where tea comes from?
any idea how long spaghetti has to cook
I forgot what a doctor for teeth is called.
I forgot what the biggest desert in the world is called.
What's the name of that tower in Italy that leans?
Hey, quick question: how many minutes are in an hour?
Hi there, can you tell me what the capital of Russia is?
I'd like to know what a lawyer earns.
My son asks why the stars shine. What do I tell him?
Please tell me what the opposite of empty is.
I need to know how to get from a bus stop to my hotel.
Remind me what a noun is.
You wouldn't know what 8 times 6 is, would you?
It would be nice to know who looks after a park.
# Other languages
Was ist die Hauptstadt von Österreich?
Wie geht es dir?
Wer hat Faust geschrieben?
Wie viele Tage hat eine Woche?
Was essen Kühe?
Schreibe einen Satz über den Winter.
Wann öffnen die Geschäfte?
Quelle est la capitale de l'Espagne ?
Bonjour, comment ça va ?
Qui a écrit Les Misérables ?
Combien d'heures y a-t-il dans une journée ?
De quelle couleur est la neige ?
Où puis-je acheter du pain ?
Écris une phrase sur la mer.
¿Cuál es la capital de Italia?
¿Cómo te llamas?
¿Quién pintó el Guernica?
¿Cuántos días tiene una semana?
¿Qué comen los gatos?
¿Cuánto cuesta un café?
Escribe una frase sobre el sol.
"""

BANK: tuple[str, ...] = tuple(line for line in _BANK.splitlines() if not line.startswith("#"))
