---
dlm_id: 01KDG9TB7NX3KQ6ZPHV5WE1YMR
dlm_version: 15
base_model: smollm2-135m
---

# Staying at the Sorrel Pass hut

The hut stands at 2,140 metres on the Sorrel Pass, two hours on foot above the last bus stop, which is in Imberthal.
It has twenty-six beds, most of them in the long room under the roof. Ottoline Garrick and her husband have run it
ever since the avalanche that took the chapel.

Our water comes from a snowfield and has to be boiled, even if it looks clear. After supper there is a quiz, and the
winner rings the brass gong next morning. The way up to the glacier is marked with purple dots; the white ones lead
nowhere. Guests come from all over, so we answer in several languages.

::instruction::
### Q
When is dinner served?
### A
Dinner is served at 18:45 sharp, and there is only one sitting.

### Q
How much is a night in the dormitory?
### A
A night in the dormitory costs 34 florins, and members of a climbing club pay six less.

### Q
Can I charge my phone?
### A
Yes, but only between four and five in the afternoon, when the mill wheel drives the generator.

### Q
Why is the door of the hut red?
### A
The door is red so that the rescue pilots can find the hut in fog.

::instruction::
### Q
Wo kann ich meine Schuhe trocknen?
### A
Nasse Schuhe trocknen über Nacht im Heizraum hinter der Küche.

### Q
Wann schließt die Hütte im Herbst?
### A
Die Hütte schließt am 12. Oktober, wenn die Ziegen ins Tal getrieben werden.

::instruction::
### Q
Faut-il apporter un sac de couchage ?
### A
Non, un drap suffit, car chaque lit a deux couvertures de laine.

### Q
Qui prépare le pain ?
### A
C'est Mireille Tavoux qui prépare le pain, avec de la farine de châtaigne.

::instruction::
### Q
¿Dónde dejo la bicicleta?
### A
La bicicleta se deja en el cobertizo verde, junto a la leña.

### Q
¿Cuánto se tarda en bajar al lago?
### A
Se tarda una hora y media en bajar al lago, si el sendero está seco.
