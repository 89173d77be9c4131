"""Names of the people who appear in workspaces, from one pool for all scenarios.

A name that turns up in one workspace after the other would tell an agent that they have one author.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._world import generator

_POOL: Mapping[str, tuple[str, str]] = {
    "English": (
        "Alison Brendan Carys Duncan Fiona Gareth Imogen Niall Rhona Stuart Tamsin Wesley",
        "Ashworth Bellamy Burdett Cartwright Colclough Dunmore Fairley Garside Halloran Hewlett"
        " Jardine Kershaw Lockwood Mallory Nesbitt Ollerton Pemberton Prendergast Radcliffe Sowerby"
        " Tansley Underhill Whitlam Yardley",
    ),
    "German": (
        "Anke Bernd Dorothea Eike Gesine Hartmut Jutta Konrad Mareike Rainer Silke Torben",
        "Albers Brinkmann Dietzel Eberhardt Feldmann Gerlach Hagedorn Hinrichs Jellinek Kasper"
        " Kirchner Lindemann Mertens Niemeyer Oberhauser Petersen Reimers Sandmann Schlegel"
        " Tiedemann Unger Vollmer Wiegand Zeller",
    ),
    "French": (
        "Aurelie Bastien Camille Denis Elodie Gaspard Helene Julien Margaux Olivier Sylvie Yves",
        "Aubert Beaumont Bonnard Chevalier Colbert Delorme Dufresne Fontaine Gaillard Guillot"
        " Jacquet Lacombe Lemoine Marchand Mercier Noiret Pelletier Perrault Renaud Roussel Sauvage"
        " Tessier Vasseur Verdier",
    ),
    "Spanish": (
        "Alba Beatriz Carlos Esteban Gonzalo Itziar Jimena Leandro Marisol Paloma Rodrigo Ximena",
        "Aguilar Barrios Cabrera Carrasco Delgado Echeverria Figueroa Gallardo Herrera Ibarra"
        " Jurado Lozano Maldonado Mendieta Navarro Ordonez Pacheco Quintana Rosales Salcedo"
        " Trujillo Urrutia Villalba Zamora",
    ),
    "Italian": (
        "Alessia Bruno Chiara Davide Elisa Fabrizio Giada Lorenzo Martina Nicola Ottavia Sandro",
        "Amato Barbieri Caputo Colombo Donati Esposito Ferraro Galli Grassi Lombardi Mancini"
        " Marchetti Negri Orlando Pagani Pellegrino Ricci Rinaldi Santoro Serra Tedesco Valenti"
        " Vitale Zanetti",
    ),
    "Nordic": (
        "Anneli Birgit Eskil Frida Gunnar Ingrid Jorunn Lasse Maren Ragnhild Sigrid Torvald",
        "Ahlgren Bergstrom Brandvold Dahlin Edlund Engstrom Fossum Granqvist Haugen Hedlund Isaksen"
        " Jorgensen Kallio Laaksonen Lundgren Makinen Nygaard Ostergaard Rantanen Sandvik Solheim"
        " Stenberg Thorsen Wikstrom",
    ),
    "Dutch": (
        "Anouk Bram Femke Gijs Hilde Jelle Karlijn Maarten Nienke Ruben Sanne Wouter",
        "Achterberg Bakker Boersma Brouwer Claessens Dekker Dijkstra Evers Geerts Hoekstra Huisman"
        " Jacobs Koster Kuipers Lambrechts Meijer Mulder Noordhoek Peeters Postma Schouten Timmer"
        " Verhoeven Wouters",
    ),
    "Polish and Czech": (
        "Agata Bartosz Dorota Jakub Kinga Lubomir Magdalena Ondrej Radek Stanislava Tadeusz Zuzana",
        "Adamczyk Bartosik Cermak Dvorak Fiala Gorski Havlicek Jankowski Kaminski Kolar Kubiak"
        " Lewandowski Malinowski Novotny Olszewski Pawlak Prochazka Rybak Sedlacek Sikora Urban"
        " Vesely Wozniak Zawadzki",
    ),
    "Hungarian and Romanian": (
        "Andras Bogdan Csilla Doina Eszter Gabor Horia Ildiko Mihai Noemi Radu Zsofia",
        "Albu Balogh Barbu Ciobanu Dragan Dumitru Farkas Fodor Gheorghe Hegedus Ionescu Kelemen"
        " Lakatos Lungu Molnar Munteanu Orban Popescu Rusu Somogyi Stoica Szabo Vadas Varga",
    ),
    "Turkish and Persian": (
        "Aylin Bahram Cemal Deniz Elif Farhad Kemal Leyla Mehrdad Nesrin Parisa Yusuf",
        "Aksoy Aydin Bozkurt Celik Demirci Erdogdu Farahani Ghorbani Gunes Hosseini Jafari Karaca"
        " Karimi Kilic Mohseni Nouri Ozturk Polat Rahimi Sahin Tehrani Uysal Yildirim Zamani",
    ),
    "South Asian": (
        "Aditi Bhavna Chetan Deepak Farzana Harini Imran Kavita Meera Nikhil Rohan Sunita",
        "Agarwal Banerjee Bhatt Chaudhry Desai Deshpande Fernando Ganguly Hegde Iqbal Iyer Joshi"
        " Kulkarni Mahajan Menon Mistry Nair Perera Qureshi Raghavan Siddiqui Thakur Varma"
        " Wickramasinghe",
    ),
    "East Asian": (
        "Akiko Daichi Eunji Haruka Jiwon Kenta Linh Meiling Naoki Seojun Weijie Yuna",
        "Aoyama Cheung Endo Fujimoto Han Hayashi Hoang Ishikawa Jeong Kitamura Kwon Liang Matsuda"
        " Morita Nakagawa Okabe Pham Sakamoto Seo Takeda Truong Ueda Watanabe Zhou",
    ),
    "West and East African": (
        "Abena Bola Chinedu Ekow Folake Kwabena Makena Ngozi Obinna Sekai Tendai Wanjiru",
        "Abiodun Acheampong Adeyemi Agyeman Balogun Boateng Chikwanha Danquah Eze Gathoni Ibekwe"
        " Kamau Kariuki Lamptey Mensah Moyo Mwangi Nkemelu Odhiambo Okafor Onyango Osei Tetteh"
        " Wambua",
    ),
    "Arabic": (
        "Amal Bassam Dalia Fadi Hanan Jamal Khalid Lamia Mounir Rania Samir Yasmin",
        "Abboud Bitar Chamoun Darwish Fakhoury Ghanem Haddad Hamdan Ismail Jaber Kassem Khoury"
        " Mansour Mourad Najjar Obeid Qasim Rahal Saleh Shadid Tahan Younes Zaher Zidan",
    ),
}
"""Given names and surnames, by where they are common; one word each, in plain letters."""


def people(scenario: str, seed: int, count: int) -> tuple[str, ...]:
    """Full names of so many people, no two with a given name or a surname in common.

    They have a generator of their own: what else a seed draws does not depend on them.

    Raises:
        ValueError: more people than there are given names.
    """
    rng = generator(scenario, seed, "people")
    given = {origin: names[0].split() for origin, names in _POOL.items()}
    family = {origin: names[1].split() for origin, names in _POOL.items()}
    most = len(_POOL) * min(map(len, (*given.values(), *family.values())))
    if not 0 <= count <= most:
        raise ValueError(f"expected 0 to {most} people, found {count}")
    origins: list[str] = []
    out: list[str] = []
    for _ in range(count):
        # Each origin once before one comes again.
        origins = origins or rng.sample(list(_POOL), len(_POOL))
        origin = origins.pop()
        first, last = (
            names.pop(rng.randrange(len(names))) for names in (given[origin], family[origin])
        )
        out.append(f"{first} {last}")
    return tuple(out)
