"""Phantoms: chest radiographs that are drawn, not taken, for a demo that needs no data.

    streams    random numbers by name, so that no image depends on another
    anatomy    a chest: what its tissues absorb, and where its lungs are
    texture    random fields and lines, of which vessels and findings are made
    findings   what is wrong in the lungs: one finding for each class
    radiograph pose, exposure, blur and noise: from absorption to grey levels
    files      size, colour mode and format of the file

A phantom looks like a chest film at arm's length, and serves to see that a workflow runs and that a network learns. It is
no model of a disease: nothing measured on phantoms says anything about radiographs of people.
"""
