package ai.h2o.mojos.runtime.frame;

import java.util.ArrayList;
import java.util.List;

public class MojoFrameBuilder {
    private final List<MojoRowBuilder> rows = new ArrayList<>();

    public MojoRowBuilder getMojoRowBuilder() {
        return new MojoRowBuilder();
    }

    public void addRow(MojoRowBuilder row) {
        rows.add(row);
    }

    public MojoFrame toMojoFrame() {
        return new MojoFrame(rows, new Object[0]);
    }
}
