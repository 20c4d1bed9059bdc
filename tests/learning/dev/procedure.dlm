---
dlm_id: 01KDA7MXT6R0BHZ4EWJ9VQ2KNS
dlm_version: 15
base_model: smollm2-135m
---

# Night shift at the Tarrel Hill dome

This sheet is for members who hold a key and work without a supervisor. The telescope is a 41 centimetre reflector
that everybody calls Old Bess; it was a present from the brewer Lucan Drayfoot, who never once looked through it. The
whole dome turns on eighteen rollers, and the noise they make in the cold is normal. Please wear felt slippers
upstairs, since grit ends up on the glass. If the weather makes you unsure, stay in the kitchen and play cards. The
visitors' book is on the windowsill, and we like to find a line in it even if you saw nothing but cloud. Once in five
summers the optics travel to Karstow for fresh silver, so do not be surprised by an empty tube.

::instruction::
### Q
What do I check before I switch on the power?
### A
Check that the frost lamp is off and that the humidity dial reads below 80 percent.

### Q
How do I open the dome?
### A
Release both brass latches, then crank the shutter handle thirty turns to the left.

### Q
How long does the mirror have to cool?
### A
The mirror has to cool for fifty minutes, with the fan on and the floor hatch open.

### Q
Which eyepiece goes in first?
### A
Start with the 32 millimetre eyepiece from the green case, because it shows the widest field.

::instruction::
### Q
What do I do if the shutter jams?
### A
Stop cranking, tap the left rail with the rubber mallet, and wait one minute before trying again.

### Q
Can I take my phone into the dome?
### A
No, phones stay in the basket by the coat hooks, because their screens spoil long exposures.

### Q
When must the dome be closed?
### A
The dome must be closed as soon as the wind gauge passes 45 kilometres an hour.

### Q
Where are the spare fuses?
### A
The spare fuses are in the mustard pot on the second shelf of the stairwell cupboard.

::instruction::
### Q
How do I shut everything down?
### A
Park the tube facing north, wind the shutter back, and pull the orange plug last.

### Q
Who gets the log sheet?
### A
Slide the signed log sheet under the door of Petra Wynlow, who files it on Mondays.
