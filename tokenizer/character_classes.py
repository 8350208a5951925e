"""Which characters are letters, numbers and white space to byte-level BPE.

Written by scripts/make_character_classes.py from what the `tokenizers` library does; Unicode
editions differ, and a count must not. Do not edit.
"""

from __future__ import annotations

from typing import Final

OTHER, LETTER, NUMBER, SPACE = range(4)

# A class holds from its code point to the next one of the list. 16 a line, as
# "code point in base 36, class".
_RUNS: Final = """
00 93 e0 w3 x0 1c2 1m0 1t1 2j0 2p1 3f0 3p3 3q0 4g3 4h0 4q1
4r0 4y2 500 511 520 552 561 570 582 5b0 5c1 5z0 601 6v0 6w1 jm0
jq1 k20 kg1 kl0 ks1 kt0 ku1 kv0 og1 ol0 om1 oo0 oq1 ou0 ov1 ow0
p21 p30 p41 p70 p81 p90 pa1 pu0 pv1 s60 s71 w20 wa1 10w0 10x1 11z0
1211 1220 1281 13d0 15c1 1630 1671 16b0 17k1 18r0 19c2 19m0 19q1 19s0 19t1 1ck0
1cl1 1cm0 1d11 1d30 1da1 1dc2 1dm1 1dp0 1dr1 1ds0 1e81 1e90 1ea1 1f40 1fx1 1ie0
1ip1 1iq0 1j42 1je1 1kb0 1kk1 1km0 1kq1 1kr0 1kw1 1li0 1lm1 1ln0 1lw1 1lx0 1m01
1m10 1mo1 1nd0 1nk1 1nv0 1o01 1oo0 1op1 1ov0 1pc1 1qi0 1s41 1tm0 1tp1 1tq0 1u81
1u90 1ug1 1uq0 1uu2 1v40 1v51 1vl0 1vp1 1vx0 1vz1 1w10 1w31 1wp0 1wq1 1wx0 1wy1
1wz0 1x21 1x60 1x91 1xa0 1xq1 1xr0 1y41 1y60 1y71 1ya0 1ye2 1yo1 1yq0 1ys2 1yy0
1z01 1z10 1z91 1zf0 1zj1 1zl0 1zn1 2090 20a1 20h0 20i1 20k0 20l1 20n0 20o1 20q0
21l1 21p0 21q1 21r0 21y2 2280 22a1 22d0 22t1 2320 2331 2360 2371 23t0 23u1 2410
2421 2440 2451 24a0 24d1 24e0 24w1 24x0 25c1 25e0 25i2 25s0 2611 2620 26d1 26l0
26n1 26p0 26r1 27d0 27e1 27l0 27m1 27o0 27p1 27u0 27x1 27y0 28s1 28u0 28v1 28y0
2922 29c0 29d1 29e2 29k0 29v1 29w0 29x1 2a30 2a61 2a90 2aa1 2ae0 2ah1 2aj0 2ak1
2al0 2am1 2ao0 2ar1 2at0 2aw1 2az0 2b21 2be0 2c01 2c10 2cm2 2cz0 2dh1 2dp0 2dq1
2dt0 2du1 2eh0 2ei1 2ey0 2f11 2f20 2fs1 2fv0 2fx1 2fy0 2g01 2g20 2g62 2gg0 2go2
2gv0 2gw1 2gx0 2h11 2h90 2ha1 2hd0 2he1 2i10 2i21 2ic0 2id1 2ii0 2il1 2im0 2jh1
2jj0 2jk1 2jm0 2jq2 2k00 2k11 2k30 2kk1 2kt0 2ku1 2kx0 2ky1 2m30 2m51 2m60 2mm1
2mn0 2ms1 2mv0 2mw2 2n31 2n60 2na2 2nt0 2nu1 2o00 2o51 2on0 2oq1 2pe0 2pf1 2po0
2pp1 2pq0 2ps1 2pz0 2qu2 2r40 2rl1 2sx0 2sy1 2t00 2tc1 2tj0 2ts2 2u20 2v51 2v70
2v81 2v90 2va1 2vf0 2vg1 2w40 2w51 2w60 2w71 2wh0 2wi1 2wk0 2wt1 2wu0 2ww1 2x10
2x21 2x30 2xc2 2xm0 2xo1 2xs0 2yo1 2yp0 2zk2 3040 30g1 30o0 30p1 31p0 32g1 32l0
35s1 36z0 37j1 37k2 37u0 3801 3860 38a1 38e0 38h1 38i0 38l1 38n0 38u1 38x0 3911
39e0 39q1 39r0 39s2 3a20 3a81 3ba0 3bb1 3bc0 3bh1 3bi0 3bk1 3cr0 3cs1 3m10 3m21
3m60 3m81 3mf0 3mg1 3mh0 3mi1 3mm0 3mo1 3nt0 3nu1 3ny0 3o01 3ox0 3oy1 3p20 3p41
3pb0 3pc1 3pd0 3pe1 3pi0 3pk1 3pz0 3q01 3rl0 3rm1 3rq0 3rs1 3tn0 3u12 3ul0 3uo1
3v40 3vk1 3xy0 3y01 3y60 3y91 4fh0 4fj1 4g03 4g11 4gr0 4gw1 4iz0 4j22 4j51 4jd0
4jk1 4k20 4kf1 4ky0 4lc1 4lu0 4m81 4ml0 4mm1 4mp0 4n41 4ok0 4pj1 4pk0 4po1 4pp0
4ps2 4q20 4q82 4qi0 4r42 4re0 4rk1 4u10 4u81 4ud0 4uf1 4vd0 4ve1 4vf0 4vk1 4xi0
4xs1 4yn0 4zq2 5001 50u0 50w1 5110 51c1 52k0 52o1 53e0 53k2 53v0 54w1 55j0 55s1
5790 58g2 58q0 58w2 5960 59j1 59k0 5c51 5dg0 5dx1 5e50 5e82 5ei0 5fn1 5gh0 5gu1
5gw2 5h61 5ie0 5j41 5k40 5kw2 5l60 5l91 5lc2 5lm1 5mm0 5mo1 5mz0 5n41 5ob0 5od1
5og0 5pl1 5pp0 5pq1 5pw0 5px1 5pz0 5q21 5q30 5q81 5vk0 5xc1 6520 6541 65a0 65c1
66e0 66g1 66m0 66o1 66w0 66x1 66y0 66z1 6700 6711 6720 6731 67y0 6801 69h0 69i1
69p0 69q1 69r0 69u1 69x0 69y1 6a50 6a81 6ac0 6ae1 6ak0 6ao1 6b10 6b61 6b90 6ba1
6bh0 6bk3 6bv0 6co3 6cq0 6cv3 6cw0 6e73 6e80 6eo2 6ep1 6eq0 6es2 6ey0 6f31 6f42
6fe0 6fk1 6fx0 6iq1 6ir0 6iv1 6iw0 6iy1 6j80 6j91 6ja0 6jd1 6ji0 6jo1 6jp0 6jq1
6jr0 6js1 6jt0 6ju1 6jy0 6jz1 6ka0 6kc1 6kg0 6kl1 6kq0 6ku1 6kv0 6kw2 6mb1 6md2
6mi0 76o2 78c0 7ai2 7b40 7sm2 7tg0 8ow1 8v90 8vf1 8vj0 8vm1 8vo0 8vx2 8vy0 8w01
8x20 8x31 8x40 8x91 8xa0 8xc1 8yw0 8z31 8z40 8zk1 9070 90g1 90n0 90o1 90v0 90w1
9130 9141 91b0 91c1 91j0 91k1 91r0 91s1 91z0 9201 9270 94f1 94g0 9hc3 9hd0 9hh1
9hj2 9hk0 9i92 9ii0 9ip1 9iu0 9iw2 9iz1 9j10 9j51 9lj0 9lp1 9ls0 9lt1 9ob0 9oc1
9og0 9ol1 9ps0 9pt1 9sf0 9si2 9sm0 9sw1 9ts0 9v41 9vk0 9wg2 9wq0 9xk2 9xs0 9xt2
9y80 9z42 9ze0 a0h2 a0w0 a9s1 fcw0 feo1 wi50 wk01 wla0 wlc1 wst0 wsw1 wtc2 wtm1
wto0 wu81 wvj0 wvz1 wwu0 www1 wyu2 wz40 x071 x0g0 x0i1 x3d0 x3f1 x5a0 x5c1 x5e0
x5f1 x5g0 x5h1 x5p0 x6a1 x6q0 x6r1 x6u0 x6v1 x6z0 x701 x7n0 x802 x860 x8g1 x9w0
xaa1 xbo0 xcg2 xcq0 xde1 xdk0 xdn1 xdo0 xdp1 xdr0 xds2 xe21 xeu0 xf41 xfr0 xgg1
xh90 xhg1 xir0 xjj1 xjk2 xju0 xk01 xk50 xk61 xkg2 xkq1 xkv0 xkw1 xm10 xmo1 xmr0
xms1 xn00 xn42 xne0 xnk1 xo70 xoa1 xob0 xoe1 xps0 xpt1 xpu0 xpx1 xpz0 xq11 xq60
xq81 xq90 xqa1 xqb0 xqz1 xr20 xr41 xrf0 xrm1 xrp0 xs11 xs70 xs91 xsf0 xsh1 xsn0
xsw1 xt30 xt41 xtb0 xtc1 xuj0 xuk1 xuy0 xv41 xyb0 xyo2 xyy0 xz41 16lg0 16ls1 16mf0
16mj1 16nw0 1d6o1 1dgu0 1dgw1 1dju0 1dkw1 1dl30 1dlf1 1dlk0 1dlp1 1dlq0 1dlr1 1dm10 1dm21 1dmf0
1dmg1 1dml0 1dmm1 1dmn0 1dmo1 1dmq0 1dmr1 1dmt0 1dmu1 1dpu0 1dqr1 1e0u0 1e1c1 1e340 1e361 1e4o0
1e5s1 1e640 1e9c1 1e9h0 1e9i1 1ed90 1eds2 1ee20 1ee91 1eez0 1ef51 1efv0 1eg61 1ein0 1eiq1 1eiw0
1eiy1 1ej40 1ej61 1ejc0 1eje1 1ejh0 1ekg1 1eks0 1ekt1 1elj0 1elk1 1em30 1em41 1em60 1em71 1emm0
1emo1 1en20 1eo01 1erf0 1err2 1et00 1etc2 1eux0 1eve2 1evg0 1f281 1f310 1f341 1f4h0 1f4x2 1f5o0
1f5s1 1f6o2 1f6s0 1f711 1f7l2 1f7m1 1f7u2 1f7v0 1f801 1f920 1f9c1 1fa60 1fa81 1fb80 1fbc1 1fbk0
1fbl2 1fbq0 1fcw1 1fha0 1fhc2 1fhm0 1fhs1 1fis0 1fiw1 1fjw0 1fk01 1fl40 1flc1 1fms0 1fn41 1fnf0
1fng1 1fnv0 1fnw1 1fo30 1fo41 1fo60 1fo71 1foi0 1foj1 1foy0 1foz1 1fp60 1fp71 1fp90 1fpc1 1fqs0
1fr41 1fzr0 1g001 1g0m0 1g0w1 1g140 1g1s1 1g1y0 1g1z1 1g350 1g361 1g3f0 1g5c1 1g5i0 1g5k1 1g5l0
1g5m1 1g6u0 1g6v1 1g6x0 1g701 1g710 1g731 1g7q0 1g7s2 1g801 1g8n0 1g8p2 1g8w1 1g9r0 1g9z2 1ga80
1gbk1 1gc30 1gc41 1gc60 1gcb2 1gcg1 1gd22 1gd80 1gdc1 1ge20 1gg01 1ghk0 1gho2 1ghq1 1ghs2 1gi80
1gia2 1gjk1 1gjl0 1gk01 1gk40 1gk51 1gk80 1gk91 1gl20 1glc2 1gll0 1gm81 1gn12 1gn30 1gn41 1gnx2
1go00 1gow1 1gp40 1gp51 1gpx0 1gq32 1gq80 1gqo1 1gs60 1gsg1 1gt20 1gt42 1gtc1 1gtv0 1gu02 1gu81
1guq0 1gvd2 1gvk0 1gxs1 1gzt0 1h1c1 1h2r0 1h341 1h4j0 1h4q2 1h4w1 1h5w0 1h682 1h6i0 1h6o2 1h6y1
1h7q0 1h7z1 1h8m0 1heo2 1hfj0 1hfk1 1hgq0 1hgw1 1hgy0 1hhe1 1hhh0 1hj41 1hjx2 1hk71 1hk80 1hkg1
1hl20 1hld2 1hlh0 1hm81 1hmq0 1ho01 1hol2 1hos0 1hpc1 1hpz0 1hqb1 1hrs0 1hsi2 1htc0 1htd1 1htf0
1hth1 1hti0 1htv1 1hv40 1hw01 1hwp0 1hww2 1hx60 1hxf1 1hyf0 1hyu2 1hz40 1hz81 1hz90 1hzb1 1hzc0
1hzk1 1i0j0 1i0m1 1i0n0 1i0z1 1i2b0 1i2p1 1i2t0 1i342 1i3e1 1i3f0 1i3g1 1i3h0 1i3l2 1i450 1i4g1
1i4y0 1i4z1 1i5o0 1i671 1i690 1i801 1i870 1i881 1i890 1i8a1 1i8e0 1i8f1 1i8u0 1i8v1 1i950 1i9c1
1ian0 1ib42 1ibe0 1ibp1 1ibx0 1ibz1 1ic10 1ic31 1icp0 1icq1 1icx0 1icy1 1id00 1id11 1id60 1id91
1ida0 1ids1 1idt0 1ie51 1iea0 1if41 1ife0 1iff1 1ifg0 1ifi1 1ifj0 1ifk1 1igm0 1ign1 1igo0 1ihd1
1ihe0 1ihf1 1ihg0 1iio1 1ik50 1ikn1 1ikr0 1ikw2 1il60 1ilb1 1ile0 1im81 1ink0 1io41 1io60 1io71
1io80 1iog2 1ioq0 1itc1 1iun0 1ivs1 1ivw0 1iww1 1iy80 1iys1 1iyt0 1iz42 1ize0 1j0g1 1j1n0 1j201
1j210 1j282 1j2i0 1j2o2 1j380 1j401 1j4r0 1j5c2 1j5o0 1j5s1 1j5z0 1jb41 1jcc0 1jfk1 1jhc2 1jhv0
1ji71 1jif0 1jih1 1jii0 1jik1 1jis0 1jit1 1jiv0 1jiw1 1jjk0 1jjz1 1jk00 1jk11 1jk20 1jkg2 1jkq0
1jmo1 1jmw0 1jmy1 1jo10 1joh1 1joi0 1joj1 1jok0 1jpc1 1jpd0 1jpn1 1jqr0 1jqy1 1jqz0 1jrk1 1jrl0
1jrw1 1jt60 1jtp1 1jtq0 1ju81 1jw90 1k1s1 1k2p0 1k342 1k3e0 1k3k1 1k3t0 1k3u1 1k4v0 1k5c1 1k5d0
1k5s2 1k6l0 1k6q1 1k7k0 1kao1 1kav0 1kaw1 1kay0 1kaz1 1kc10 1kcm1 1kcn0 1kcw2 1kd60 1kdc1 1kdi0
1kdj1 1kdl0 1kdm1 1kei0 1kew1 1kex0 1kf42 1kfe0 1ko01 1koj0 1koy1 1koz0 1kp01 1kpd0 1kpe1 1kqc0
1kr42 1kre0 1kts1 1ktt0 1ku82 1kut0 1kw01 1llm0 1log2 1lrj0 1ls01 1lxg0 1nyo1 1o1d0 1o1s1 1ovk0
1ow11 1ow70 1oww1 1rzv0 1s001 1sg70 1xq81 1xr20 1xrk2 1xru0 1z401 1zjt0 1zk01 1zkv0 1zkw2 1zl60
1zlc1 1znj0 1znk2 1znu0 1zo01 1zou0 1zpc1 1zqo0 1zr41 1zr80 1zrk2 1zru0 1zrv2 1zs20 1zs31 1zso0
1zst1 1ztc0 205c1 206l0 206o2 206y0 20cg1 20e82 20ev0 20hs1 20jv0 20k01 20k10 20lv1 20m80 20o01
20o20 20o31 20o40 20ow1 25fc0 25fk1 26dy0 26f31 26fd0 2dbk1 2dbo0 2dbp1 2dbw0 2dbx1 2dbz0 2dc01
2dk30 2dki1 2dkj0 2dlc1 2dlf0 2dlh1 2dli0 2dlw1 2dm00 2dm81 2dx80 2fpc1 2fsb0 2fsg1 2fst0 2fsw1
2ft50 2ftc1 2ftm0 2j1s2 2j220 2k742 2k7o0 2k802 2k8k0 2kbk2 2kc90 2kg01 2kid0 2kie1 2kkd0 2kke1
2kkg0 2kki1 2kkj0 2kkl1 2kkn0 2kkp1 2kkt0 2kku1 2kl60 2kl71 2kl80 2kl91 2klg0 2klh1 2kna0 2knb1
2knf0 2knh1 2knp0 2knq1 2knx0 2kny1 2koq0 2kor1 2kov0 2kow1 2kp10 2kp21 2kp30 2kp61 2kpd0 2kpe1
2kyu0 2kyw1 2kzl0 2kzm1 2l0b0 2l0c1 2l170 2l181 2l1x0 2l1y1 2l2t0 2l2u1 2l3j0 2l3k1 2l4f0 2l4g1
2l550 2l561 2l610 2l621 2l6r0 2l6s1 2l700 2l722 2l8g0 2mm81 2mn30 2mn91 2mnf0 2muo1 2mwe0 2n0g1
2n1p0 2n1z1 2n260 2n282 2n2i0 2n2m1 2n2n0 2nbk1 2nce0 2ncw1 2ne40 2ne82 2nei0 2nrk1 2nsc0 2nsg2
2nsq0 2nyo1 2nzi0 2nzk1 2nzl2 2nzv0 2odc1 2odj0 2odk1 2odo0 2odp1 2odr0 2ods1 2oe70 2oe81 2ojp0
2ojr2 2ok00 2olc1 2on80 2onf1 2ong0 2onk2 2onu0 2p9t2 2pbg0 2pbh2 2pbk0 2pbl2 2pbp0 2pdt2 2pf20
2pf32 2pfi0 2pkw1 2pl00 2pl11 2pls0 2plt1 2plv0 2plw1 2plx0 2plz1 2pm00 2pm11 2pmb0 2pmc1 2pmg0
2pmh1 2pmi0 2pmj1 2pmk0 2pmq1 2pmr0 2pmv1 2pmw0 2pmx1 2pmy0 2pmz1 2pn00 2pn11 2pn40 2pn51 2pn70
2pn81 2pn90 2pnb1 2pnc0 2pnd1 2pne0 2pnf1 2png0 2pnh1 2pni0 2pnj1 2pnk0 2pnl1 2pnn0 2pno1 2pnp0
2pnr1 2pnv0 2pnw1 2po30 2po41 2po80 2po91 2pod0 2poe1 2pof0 2pog1 2poq0 2por1 2pp80 2ppd1 2ppg0
2pph1 2ppm0 2ppn1 2pq40 2q682 2q6l0 2sc02 2sca0 2t4w1 3q3k0 3q4g1 3tbu0 3tc01 3ti60 3ti81 3xya0
3xyo1 43q90 43qo1 447y0 464g1 46ji0 47pc1 4bij0 4bio1 4er40
"""

# Ascending code points, and the class from each on; of the same length.
STARTS: Final[tuple[int, ...]] = tuple(int(run[:-1], 36) for run in _RUNS.split())
CLASSES: Final[tuple[int, ...]] = tuple(int(run[-1]) for run in _RUNS.split())
