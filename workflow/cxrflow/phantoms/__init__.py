"""Phantoms: artificial chest radiographs, for a demo that needs no data.

    anatomy    a chest: the absorption of its tissues, and its lung fields
    texture    named random streams, random fields and branching lines
    opacities  abnormal findings in the lungs: one pattern of opacity for each class
    radiograph pose, exposure, blur and noise: from absorption to grey levels
    files      size, colour mode and format of the file

A phantom looks roughly like a chest radiograph. It shows that a workflow runs and that a network learns. It is not a model of a
disease: results on phantoms say nothing about radiographs of people.
"""
