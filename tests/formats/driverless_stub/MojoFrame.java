package ai.h2o.mojos.runtime.frame;

import java.util.List;

public class MojoFrame {
    public final List<MojoRowBuilder> rows;
    private final Object[] columns;

    public MojoFrame(List<MojoRowBuilder> rows, Object[] columns) {
        this.rows = rows;
        this.columns = columns;
    }

    public int getNcols() {
        return columns.length;
    }

    public Object getColumnData(int place) {
        return columns[place];
    }
}
